package calib

import (
	"errors"
	"fmt"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// inverseFactor is the order of the columns and the upper U of H⁻¹ = UᵀU in that order, float32 [k, k]. With H = R·Rᵀ,
// R upper, U is R⁻¹: one factorization, of the matrix backwards, and one triangular inverse. Where float32 is too coarse for
// the factorization, it is done in float64.
func inverseFactor(c *nn.Context, h *ts.Tensor, cfg GPTQ) (order []int64, u *ts.Tensor, err error) {
	k := c.Shape(h)[0]
	diagonal, err := diagonalOf(c, h)
	if err != nil {
		return nil, nil, err
	}
	var mean float64
	for _, d := range diagonal {
		mean += float64(d) / float64(k)
	}
	if mean <= 0 {
		return nil, nil, errors.New("its inputs are zero everywhere: calibrate on data that reach it, or exclude it")
	}
	silent := make([]float32, k)
	for i, d := range diagonal {
		order = append(order, int64(i))
		if d == 0 { // any number will do, nothing else is in its row
			silent[i] = float32(mean)
		}
	}
	if cfg.ActOrder {
		slices.SortStableFunc(order, func(a, b int64) int {
			switch {
			case diagonal[a] > diagonal[b]:
				return -1
			case diagonal[a] < diagonal[b]:
				return 1
			}
			return 0
		})
	}
	one := eye(c, k)
	backwards := reversed(c, h, one, silent, order)
	for _, dtype := range []gotch.DType{gotch.Float, gotch.Double} {
		c.Nest(func(in *nn.Context) {
			r := upper(in, backwards, one, dtype, cfg.Damp*mean)
			if r == nil {
				return
			}
			v := in.Contiguous(in.To(invertUpper(in, r), gotch.Float))
			if in.All(in.Isfinite(v)) {
				u = in.Promote(v)
			}
		})
		if u != nil {
			return order, u, nil
		}
	}
	return nil, nil, fmt.Errorf("its Hessian is not positive definite with gptq.damp = %g: raise it, or calibrate on more data", cfg.Damp)
}

// Matrices of all channels are large: what follows frees each as soon as it has been read.

// reversed is h [k, k] with silent added to its diagonal, rows and columns in the order backwards.
func reversed(c *nn.Context, h, one *ts.Tensor, silent []float32, order []int64) (out *ts.Tensor) {
	k := int64(len(order))
	c.Nest(func(in *nn.Context) {
		ids := slices.Clone(order)
		slices.Reverse(ids)
		rows := in.FromInts(ids, k)
		filled := h
		if slices.Max(silent) > 0 {
			filled = in.Add(h, in.Mul(one, in.FromFloats(silent, k)))
		}
		out = in.Promote(in.IndexSelect(in.IndexSelect(filled, 0, rows), 1, rows))
	})
	return out
}

// upper is the upper R of R·Rᵀ, of a matrix that lies backwards with damp added to its diagonal, in dtype; nil if it is not
// positive definite.
func upper(c *nn.Context, backwards, one *ts.Tensor, dtype gotch.DType, damp float64) (r *ts.Tensor) {
	c.Nest(func(in *nn.Context) {
		var m *ts.Tensor
		in.Nest(func(deep *nn.Context) {
			m = deep.Promote(deep.Add(deep.To(backwards, dtype), deep.MulScalar(deep.To(one, dtype), damp)))
		})
		if l, at := in.Cholesky(m); at == 0 {
			r = in.Promote(in.Flip(l, 0, 1))
		}
	})
	return r
}

// invertUpper is the inverse of an upper triangular matrix, by halves: a third of the work of solving for all columns.
func invertUpper(c *nn.Context, r *ts.Tensor) (out *ts.Tensor) {
	k := c.Shape(r)[0]
	if k <= 256 {
		return c.SolveTriangular(r, c.To(eye(c, k), r.DType()), true)
	}
	c.Nest(func(in *nn.Context) {
		half := k / 2
		top := in.Narrow(r, 0, 0, half)
		a, b := invertUpper(in, in.Narrow(top, 1, 0, half)), invertUpper(in, in.Narrow(in.Narrow(r, 0, half, k-half), 1, half, k-half))
		corner := in.Neg(in.Matmul(in.Matmul(a, in.Narrow(top, 1, half, k-half)), b))
		out = in.Promote(in.Cat(0, in.Cat(1, a, corner), in.Cat(1, in.Zeros(r.DType(), k-half, half), b)))
	})
	return out
}

// diagonalOf copies the diagonal of h [k, k].
func diagonalOf(c *nn.Context, h *ts.Tensor) ([]float32, error) {
	k := c.Shape(h)[0]
	places := make([]int64, k)
	for i := range places {
		places[i] = int64(i) * (k + 1)
	}
	return tensor.Floats(c.IndexSelect(c.Reshape(h, k*k), 0, c.FromInts(places, k)))
}

func eye(c *nn.Context, k int64) (out *ts.Tensor) {
	c.Nest(func(in *nn.Context) {
		ones := in.Ones(gotch.Float, k, k)
		out = in.Promote(in.Sub(in.Tril(ones, 0), in.Tril(ones, -1)))
	})
	return out
}
