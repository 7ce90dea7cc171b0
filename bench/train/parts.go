package main

import (
	"math"
	"time"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// cost is the milliseconds of a part.
type cost struct{ forward, backward float64 }

// less is what a costs beyond b.
func (a cost) less(b cost) cost { return cost{a.forward - b.forward, a.backward - b.backward} }

// alone times f and the backward pass from its results, for gradients of random numbers. f makes its inputs with leaf.
func (m *model) alone(f func(c *nn.Context, leaf func(dims ...int64) *ts.Tensor) func() []*ts.Tensor) (cost, error) {
	least := cost{math.Inf(1), math.Inf(1)}
	for i := range profileRuns {
		err := nn.Run(func(c *nn.Context) error {
			forward := f(c, func(dims ...int64) *ts.Tensor {
				x := c.To(c.Randn(dims...), m.dtype)
				c.Check("leaf", tensor.RequireGrad(x, true))
				return x
			})
			began := time.Now()
			outs := forward()
			there := since(began)
			var grads []*ts.Tensor
			for _, y := range outs {
				grads = append(grads, c.To(c.Randn(c.Shape(y)...), y.DType()))
			}
			began = time.Now()
			if err := tensor.BackwardFrom(outs, grads); err != nil {
				return err
			}
			if back := since(began); i > 0 {
				least = cost{min(least.forward, there), min(least.backward, back)}
			}
			return nil
		})
		if err != nil {
			return least, err
		}
		if err := m.dropGradients(); err != nil {
			return least, err
		}
	}
	return least, nil
}

// projections are all linear layers of the blocks.
func (m *model) projections() (cost, error) {
	s := m.shape
	return m.alone(func(c *nn.Context, leaf func(...int64) *ts.Tensor) func() []*ts.Tensor {
		x, mixed, inner := leaf(s.batch, s.length, s.hidden), leaf(s.batch, s.length, s.heads*s.headDim), leaf(s.batch, s.length, s.inner)
		return func() (ys []*ts.Tensor) {
			for _, b := range m.blocks.Blocks {
				ys = append(ys, b.Attn.QKV.Forward(c, x)...)
				ys = append(ys, b.Attn.O.Forward(c, mixed))
				ys = append(ys, b.MLP.GateUp.Forward(c, x)...)
				ys = append(ys, b.MLP.Down.Forward(c, inner))
			}
			return ys
		}
	})
}

// attention is what the blocks' attention does beside its projections.
func (m *model) attention() (cost, error) {
	s := m.shape
	return m.alone(func(c *nn.Context, leaf func(...int64) *ts.Tensor) func() []*ts.Tensor {
		bare := make([]nn.Attention, len(m.blocks.Blocks))
		for i, b := range m.blocks.Blocks {
			bare[i] = *b.Attn
			bare[i].O = &nn.Slot{P: given{}}
			bare[i].QKV = nil
			for _, heads := range []int64{s.heads, s.kvHeads, s.kvHeads} {
				bare[i].QKV = append(bare[i].QKV, &nn.Slot{P: given{leaf(s.batch, s.length, heads*s.headDim)}})
			}
		}
		x, mask := leaf(s.batch, s.length, s.hidden), nn.CausalMask(c, s.length, 0, m.dtype)
		angles := nn.Rotary{D: s.headDim, Theta: rotaryBase}.Angles(c, m.positions(c), m.dtype)
		return func() (ys []*ts.Tensor) {
			for i := range bare {
				ys = append(ys, bare[i].Forward(c, x, angles, mask, nil))
			}
			return ys
		}
	})
}

// given stands for a projection whose result is there already; nil is its input.
type given struct{ y *ts.Tensor }

func (given) Visit(nn.Visitor) {}

func (g given) Forward(_ *nn.Context, x *ts.Tensor) *ts.Tensor {
	if g.y == nil {
		return x
	}
	return g.y
}

func (given) Weight(c *nn.Context) *ts.Tensor {
	c.Fail("weight", "a given result has none")
	return nil
}

// norms are those over the whole width.
func (m *model) norms() (cost, error) {
	s := m.shape
	return m.alone(func(c *nn.Context, leaf func(...int64) *ts.Tensor) func() []*ts.Tensor {
		x := leaf(s.batch, s.length, s.hidden)
		return func() (ys []*ts.Tensor) {
			for _, b := range m.blocks.Blocks {
				ys = append(ys, b.InputNorm.Forward(c, x), b.PostNorm.Forward(c, x))
			}
			return append(ys, m.blocks.Norm.Forward(c, x))
		}
	})
}

// gates are SwiGLU between its projections.
func (m *model) gates() (cost, error) {
	s := m.shape
	return m.alone(func(c *nn.Context, leaf func(...int64) *ts.Tensor) func() []*ts.Tensor {
		gate, up := leaf(s.batch, s.length, s.inner), leaf(s.batch, s.length, s.inner)
		return func() (ys []*ts.Tensor) {
			for range m.blocks.Blocks {
				ys = append(ys, c.Mul(c.Silu(gate), up))
			}
			return ys
		}
	})
}

// ending is the head and the loss.
func (m *model) ending() (cost, error) {
	return m.alone(func(c *nn.Context, leaf func(...int64) *ts.Tensor) func() []*ts.Tensor {
		_, y := m.batch(c)
		h := leaf(m.shape.batch*m.shape.length, m.shape.hidden)
		return func() []*ts.Tensor { return []*ts.Tensor{m.loss(c, h, y)} }
	})
}
