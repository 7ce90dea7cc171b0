package calib

import (
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

// roundColumns is the loop over blocks of columns. Within a block, each row goes on its own (package lattice); what earlier
// blocks take away from a block is one product of matrices.
func roundColumns(s *tensor.Scope, w []float32, n, k int64, order []int64, u *ts.Tensor, p quant.QParams, sch quant.WeightScheme, block int) []byte {
	codes, errs, set := make([]byte, n*k), s.Zeros(gotch.Float, n, k), kernels()
	b := lattice.Block{N: n, K: k, W: set.Permute(w, order), LDU: k, Scale: p.Scale, Zero: p.ZeroPoint, QMin: sch.QMin(), QMax: sch.QMax(), Codes: codes}
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
			set.GPTQ(b)
		})
	}
	return set.Restore(codes, order)
}
