package calib

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/qakd/qakd/internal/native/lattice"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// gptq rounds w [n, k] by GPTQ (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization", algorithm 1): columns
// one after the other, the error of each, over the diagonal of U, subtracted from the columns to come by the rows of U,
// with H⁻¹ = UᵀU. h is the mean Gram matrix of the inputs: half their Hessian, which is the same to the algorithm. Columns
// go by the size of their diagonal with ActOrder. Scales and zero points p are fixed beforehand, per group of the weight as
// it lies ("static groups" of the authors' code), so any order of columns gives codes on the lattice.
//
// A channel that was silent has nothing to tell about its weights: they are rounded to nearest, and no error goes to them
// or comes from them. What comes back are the codes less the scheme's smallest, [n, k].
func gptq(c *nn.Context, w []float32, n, k int64, h *ts.Tensor, p quant.QParams, sch quant.WeightScheme, cfg GPTQ) (codes []byte, err error) {
	c.Nest(func(in *nn.Context) {
		var order []int64
		var u *ts.Tensor
		if order, u, err = inverseFactor(in, h, cfg); err != nil {
			return
		}
		codes = roundColumns(in.Scope, w, n, k, order, u, p, sch, cfg.Block)
	})
	return codes, err
}

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
	ids := c.FromInts(order, k)
	one, filled := eye(c, k), h
	if slices.Max(silent) > 0 {
		filled = c.Add(h, c.Mul(one, c.FromFloats(silent, k)))
	}
	backwards := c.Flip(c.IndexSelect(c.IndexSelect(filled, 0, ids), 1, ids), 0, 1)
	for _, dtype := range []gotch.DType{gotch.Float, gotch.Double} {
		l, at := c.Cholesky(c.Add(c.To(backwards, dtype), c.MulScalar(c.To(one, dtype), cfg.Damp*mean)))
		if at != 0 {
			continue
		}
		u = c.Contiguous(c.To(invertUpper(c, c.Flip(l, 0, 1)), gotch.Float))
		if c.All(c.Isfinite(u)) {
			return order, u, nil
		}
	}
	return nil, nil, fmt.Errorf("its Hessian is not positive definite with gptq.damp = %g: raise it, or calibrate on more data", cfg.Damp)
}

// invertUpper is the inverse of an upper triangular matrix, by halves: a third of the work of solving for all columns.
func invertUpper(c *nn.Context, r *ts.Tensor) *ts.Tensor {
	k := c.Shape(r)[0]
	if k <= 256 {
		return c.SolveTriangular(r, c.To(eye(c, k), r.DType()), true)
	}
	half := k / 2
	a, b := invertUpper(c, c.Narrow(c.Narrow(r, 0, 0, half), 1, 0, half)), invertUpper(c, c.Narrow(c.Narrow(r, 0, half, k-half), 1, half, k-half))
	corner := c.Neg(c.Matmul(c.Matmul(a, c.Narrow(c.Narrow(r, 0, 0, half), 1, half, k-half)), b))
	return c.Cat(0, c.Cat(1, a, corner), c.Cat(1, c.Zeros(r.DType(), k-half, half), b))
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

func eye(c *nn.Context, k int64) *ts.Tensor {
	ones := c.Ones(gotch.Float, k, k)
	return c.Sub(c.Tril(ones, 0), c.Tril(ones, -1))
}

// roundColumns is the loop over blocks of columns. Within a block, each row goes on its own (package lattice); what earlier
// blocks take away from a block is one product of matrices.
func roundColumns(s *tensor.Scope, w []float32, n, k int64, order []int64, u *ts.Tensor, p quant.QParams, sch quant.WeightScheme, block int) []byte {
	codes, errs := make([]byte, n*k), s.Zeros(gotch.Float, n, k)
	b := lattice.Block{N: n, K: k, W: lattice.Permute(w, order), LDU: k, Scale: p.Scale, Zero: p.ZeroPoint, QMin: sch.QMin(), QMax: sch.QMax(), Codes: codes}
	width := n * k / int64(len(p.Scale))
	if width <= k {
		b.Units = k / width
	}
	pointer := func(t *ts.Tensor) unsafe.Pointer {
		at, err := t.DataPtr()
		s.Check("gptq", err)
		return at
	}
	b.Err = pointer(errs)
	for at := int64(0); at < k; at += int64(block) {
		b.At, b.Unit = at, make([]int64, min(int64(block), k-at))
		for j, c := range order[at : at+int64(len(b.Unit))] {
			b.Unit[j] = min(c/width, max(b.Units-1, 0))
		}
		b.U = unsafe.Add(pointer(u), 4*(at*k+at))
		s.Nest(func(in *tensor.Scope) {
			b.Earlier = nil
			if at > 0 {
				wide := int64(len(b.Unit))
				b.Earlier = pointer(in.Contiguous(in.Matmul(in.Narrow(errs, 1, 0, at), in.Narrow(in.Narrow(u, 0, 0, at), 1, at, wide))))
			}
			kernels.GPTQ(b)
		})
	}
	return lattice.Restore(codes, order)
}
