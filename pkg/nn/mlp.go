package nn

import "github.com/sugarme/gotch/ts"

// MLP is the SwiGLU feed-forward layer: down( silu(gate x) · up x ) (Shazeer 2020).
type MLP struct {
	GateUp Group // gate_proj, up_proj read one input
	Down   *Slot
}

// NewMLP declares the parameters under path (…mlp).
func NewMLP(path string, width, inner int64) *MLP {
	return &MLP{
		GateUp: Group{NewSlot(path+".gate_proj", width, inner, false), NewSlot(path+".up_proj", width, inner, false)},
		Down:   NewSlot(path+".down_proj", inner, width, false),
	}
}

// Visit shows the projections.
func (m *MLP) Visit(v Visitor) {
	m.GateUp.Visit(v)
	m.Down.Visit(v)
}

// Forward maps x [..., width] to [..., width].
func (m *MLP) Forward(c *Context, x *ts.Tensor) *ts.Tensor {
	gu := m.GateUp.Forward(c, x)
	return m.Down.Forward(c, gated(c, gu[0], gu[1]))
}

// gated is silu(a)·b of one shape.
func gated(c *Context, a, b *ts.Tensor) *ts.Tensor {
	if c.Fuses(a, b) {
		return c.Gated(a, b)
	}
	return c.Mul(c.Silu(a), b)
}
