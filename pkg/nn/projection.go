package nn

import "github.com/sugarme/gotch/ts"

// Projection computes y = x·Wᵀ + b in some representation of W. It is a pure function of x and its parameters.
type Projection interface {
	Module
	// Forward maps x [..., in] to [..., out].
	Forward(c *Context, x *ts.Tensor) *ts.Tensor
	// Weight is the dense matrix [out, in] that Forward applies.
	Weight(c *Context) *ts.Tensor
}

// GroupProjection serves several projections of one input in one call. peers includes the receiver and holds
// implementations of one kind; nil says that these cannot be served together.
type GroupProjection interface {
	Projection
	ForwardGroup(c *Context, peers []Projection, x *ts.Tensor) []*ts.Tensor
}

// Transform changes a projection's input: a per-channel scale, a Hadamard rotation. Its inverse is folded into the weight.
type Transform interface {
	Module
	Apply(c *Context, x *ts.Tensor) *ts.Tensor
}

// Slot is the place of one projection in the tree, and the one point where implementations are swapped.
type Slot struct {
	Path    string // e.g. talker.model.layers.0.self_attn.q_proj
	In, Out int64
	P       Projection
	// Transform of the input; nil for none.
	Transform Transform
}

// NewSlot holds a float linear layer at path.
func NewSlot(path string, in, out int64, bias bool) *Slot {
	return &Slot{Path: path, In: in, Out: out, P: NewLinear(path, in, out, bias)}
}

// Visit shows the slot, then the parameters of what it holds.
func (s *Slot) Visit(v Visitor) {
	if v.Slot != nil {
		v.Slot(s)
	}
	if s.Transform != nil {
		s.Transform.Visit(v)
	}
	s.P.Visit(v)
}

// Forward shows x [..., In] to the watcher and maps it to [..., Out].
func (s *Slot) Forward(c *Context, x *ts.Tensor) *ts.Tensor {
	return s.P.Forward(c, s.input(c, x))
}

func (s *Slot) input(c *Context, x *ts.Tensor) *ts.Tensor {
	c.sawInput(s.Path, x)
	if s.Transform != nil {
		x = s.Transform.Apply(c, x)
	}
	return x
}

// Group is a set of projections that read one input, such as q/k/v or gate/up.
type Group []*Slot

// Visit shows the members.
func (g Group) Visit(v Visitor) {
	for _, s := range g {
		s.Visit(v)
	}
}

// Forward maps x [..., In] through every member, in one call where an implementation offers that.
func (g Group) Forward(c *Context, x *ts.Tensor) []*ts.Tensor {
	if ys := g.together(c, x); ys != nil {
		return ys
	}
	ys := make([]*ts.Tensor, len(g))
	for i, s := range g {
		ys[i] = s.Forward(c, x)
	}
	return ys
}

func (g Group) together(c *Context, x *ts.Tensor) []*ts.Tensor {
	first, ok := g[0].P.(GroupProjection)
	if !ok {
		return nil
	}
	peers := make([]Projection, len(g))
	for i, s := range g {
		if s.Transform != g[0].Transform { // a group has one input only if it has one transform
			return nil
		}
		peers[i] = s.P
	}
	xt := x
	if g[0].Transform != nil {
		xt = g[0].Transform.Apply(c, x)
	}
	ys := first.ForwardGroup(c, peers, xt)
	if ys != nil {
		for _, s := range g {
			c.sawInput(s.Path, x)
		}
	}
	return ys
}
