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
		codes, err = roundColumns(in.Scope, in.FromFloats(w, n, k), order, u, p, sch, cfg.Block)
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
	filled := c.Add(h, c.Mul(eye(c, k), c.FromFloats(silent, k)))
	backwards := c.Flip(c.IndexSelect(c.IndexSelect(filled, 0, ids), 1, ids), 0, 1)
	for _, dtype := range []gotch.DType{gotch.Float, gotch.Double} {
		one := c.To(eye(c, k), dtype)
		l, at := c.Cholesky(c.Add(c.To(backwards, dtype), c.MulScalar(one, cfg.Damp*mean)))
		if at != 0 {
			continue
		}
		u = c.Contiguous(c.To(c.SolveTriangular(c.Flip(l, 0, 1), one, true), gotch.Float))
		if c.All(c.Isfinite(u)) {
			return order, u, nil
		}
	}
	return nil, nil, fmt.Errorf("its Hessian is not positive definite with gptq.damp = %g: raise it, or calibrate on more data", cfg.Damp)
}

// diagonalOf copies the diagonal of h [k, k].
func diagonalOf(c *nn.Context, h *ts.Tensor) ([]float32, error) {
	return tensor.Floats(c.SumDim(c.Mul(h, eye(c, c.Shape(h)[0])), false, 1))
}

func eye(c *nn.Context, k int64) *ts.Tensor {
	ones := c.Ones(gotch.Float, k, k)
	return c.Sub(c.Tril(ones, 0), c.Tril(ones, -1))
}

// roundColumns is the loop over blocks of columns. Within a block, each row goes on its own (package lattice); what earlier
// blocks take away from a block is one product of matrices.
func roundColumns(s *tensor.Scope, w *ts.Tensor, order []int64, u *ts.Tensor, p quant.QParams, sch quant.WeightScheme, block int) ([]byte, error) {
	shape := s.Shape(w)
	n, k := shape[0], shape[1]
	codes, errs := make([]byte, n*k), s.Zeros(gotch.Float, n, k)
	w = s.Contiguous(s.IndexSelect(w, 1, s.FromInts(order, k)))
	b := lattice.Block{N: n, K: k, LDU: k, Scale: p.Scale, Zero: p.ZeroPoint, QMin: sch.QMin(), QMax: sch.QMax(), Codes: codes}
	width := n * k / int64(len(p.Scale))
	if width <= k {
		b.Units = k / width
	}
	var base unsafe.Pointer
	for to, t := range map[*unsafe.Pointer]*ts.Tensor{&b.W: w, &b.Err: errs, &base: u} {
		at, err := t.DataPtr()
		s.Check("gptq", err)
		*to = at
	}
	for at := int64(0); at < k; at += int64(block) {
		b.At, b.Column = at, order[at:min(at+int64(block), k)]
		b.Unit = make([]int64, len(b.Column))
		for j, c := range b.Column {
			b.Unit[j] = min(c/width, max(b.Units-1, 0))
		}
		b.U = unsafe.Add(base, 4*(at*k+at))
		s.Nest(func(in *tensor.Scope) {
			b.Earlier = nil
			if at > 0 {
				wide := int64(len(b.Column))
				earlier := in.Contiguous(in.Matmul(in.Narrow(errs, 1, 0, at), in.Narrow(in.Narrow(u, 0, 0, at), 1, at, wide)))
				to, err := earlier.DataPtr()
				in.Check("gptq", err)
				b.Earlier = to
			}
			kernels.GPTQ(b)
		})
	}
	return codes, nil
}
