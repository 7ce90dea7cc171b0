package calib

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Gram is how the channels of an input go together: the sum of x_i x_j over the rows seen, [In, In]. GPTQ's Hessian
// (Frantar et al. 2022, §3) is twice that. Sums are float32: what that loses is far below the damping. Layers that read one
// input share one Gram. It lies outside Go's memory: Close frees it.
type Gram struct {
	In   int64
	Rows int64
	sum  *ts.Tensor // float32 [In, In], nil before the first rows
}

// Close frees the sums.
func (g *Gram) Close() {
	if g.sum != nil {
		g.sum.Drop()
	}
	g.sum = nil
}

// add adds the products of x [rows, In], float32.
func (g *Gram) add(c *nn.Context, x *ts.Tensor) {
	c.Nest(func(in *nn.Context) {
		sum := Product(in.Scope, x)
		g.Rows += in.Shape(x)[0]
		if g.sum != nil {
			sum = in.Add(g.sum, sum)
		}
		g.Close()
		g.sum = in.Release(sum)
	})
}

// stripe is how many columns of a Gram matrix are computed at a time.
const stripe = 512

// Product is xᵀ·x of x [rows, n], float32 [n, n]. The part above the diagonal is copied from below where that is less work.
func Product(s *tensor.Scope, x *ts.Tensor) (out *ts.Tensor) {
	n := s.Shape(x)[1]
	s.Nest(func(in *tensor.Scope) {
		xt := in.Transpose(x, 0, 1)
		if n < 2*stripe {
			out = in.Promote(in.Matmul(xt, x))
			return
		}
		var rows, columns []*ts.Tensor // of the lower triangle, stripe by stripe
		for at := int64(0); at < n; at += stripe {
			rows = append(rows, in.Matmul(in.Narrow(xt, 0, at, min(stripe, n-at)), in.Narrow(x, 1, 0, min(at+stripe, n))))
		}
		for i := range rows {
			columns = columns[:0]
			columns = append(columns, rows[i])
			for j := i + 1; j < len(rows); j++ {
				columns = append(columns, in.Transpose(in.Narrow(rows[j], 1, int64(i)*stripe, in.Shape(rows[i])[0]), 0, 1))
			}
			if len(columns) > 1 {
				rows[i] = in.Cat(1, columns...)
			}
		}
		out = in.Promote(in.Cat(0, rows...))
	})
	return out
}

// mean is the mean of x_i x_j with channel i divided by divide[i] (nil: by 1), float32 [In, In] of c's.
func (g *Gram) mean(c *nn.Context, divide []float32) *ts.Tensor {
	h := c.MulScalar(g.sum, 1/float64(g.Rows))
	if divide == nil {
		return h
	}
	s := c.FromFloats(divide, g.In)
	return c.Div(c.Div(h, c.Reshape(s, g.In, 1)), c.Reshape(s, 1, g.In))
}

// blocks are the parts [width, width] of a mean Gram matrix h on its diagonal, [n/width, width, width]. As in importance,
// a millionth of the mean second moment is added to each diagonal.
func blocks(c *nn.Context, h *ts.Tensor, width int64) (out []float32, err error) {
	c.Nest(func(in *nn.Context) {
		n := in.Shape(h)[0]
		var parts []*ts.Tensor
		for at := int64(0); at < n; at += width {
			parts = append(parts, in.Narrow(in.Narrow(h, 0, at, width), 1, at, width))
		}
		out, err = tensor.Floats(in.Stack(0, parts...))
		var mean float32
		for i := range out {
			if at := int64(i) % (width * width); at/width == at%width {
				mean += out[i] / float32(n)
			}
		}
		for i := range out {
			if at := int64(i) % (width * width); at/width == at%width {
				if out[i] += 1e-6 * mean; mean == 0 {
					out[i] = 1
				}
			}
		}
	})
	return out, err
}

// outputPower is the mean power of d·x over the inputs x of a mean Gram matrix h: the trace of d·h·dᵀ, d [n, In].
func outputPower(c *nn.Context, d, h *ts.Tensor) (power float64, err error) {
	c.Nest(func(in *nn.Context) {
		power, err = tensor.Scalar(in.Sum(in.To(in.SumDim(in.Mul(in.Matmul(d, h), d), false, 1), gotch.Double)))
	})
	return power, err
}
