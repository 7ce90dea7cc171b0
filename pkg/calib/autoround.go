package calib

import (
	"math"
	"slices"

	"github.com/qakd/qakd/internal/native/lattice"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// autoRound learns the codes of w [n, k] by signed gradients (Cheng et al. 2023, "Optimize Weight Rounding via Signed
// Gradient Descent", §3): an offset v in -1/2 … 1/2 of each weight and a factor of each end of a group's range,
//
//	code = clamp(round(w/s + v) + z),   s and z of the range lo·a … hi·b
//
// step against the sign of their straight-through gradients, by a rate that falls to 0, and the best state is kept. The
// authors draw batches of a decoder block's inputs. Here it is one layer's expected output error, trace((w - value) h
// (w - value)ᵀ) with the mean Gram matrix h, whose gradient is a product of matrices without any sampling: the same for all
// data, and nothing to draw. Most is how far the factors go from 1.
func autoRound(c *nn.Context, w []float32, n, k int64, h *ts.Tensor, sch quant.WeightScheme, cfg AutoRound) (p quant.QParams, codes []byte, err error) {
	lw, p, err := latticeOf(w, n, k, sch)
	if err != nil {
		return p, nil, err
	}
	units := lw.Units()
	r := &lattice.Rounding{
		Weight: lw, V: make([]float32, n*k), Lo: ones(units), Hi: ones(units), Most: cfg.Range,
		Scale: p.Scale, Zero: p.ZeroPoint, Codes: make([]byte, n*k),
	}
	rate := cfg.Rate
	if rate == 0 {
		rate = 1 / float64(cfg.Steps)
	}
	least, best := math.Inf(1), quant.QParams{Rows: p.Rows, Groups: p.Groups}
	c.Nest(func(in *nn.Context) {
		d := in.Zeros(gotch.Float, n, k)
		at, err1 := d.DataPtr()
		in.Check("autoround", err1)
		kernels.Step(r, nil, 0, at)
		for step := 0; err == nil; step++ {
			in.Nest(func(in *nn.Context) {
				g := in.Contiguous(in.Matmul(d, h))
				var loss float64
				if loss, err = tensor.Scalar(in.Sum(in.To(in.SumDim(in.Mul(g, d), false, 1), gotch.Double))); err != nil {
					return
				}
				if loss < least {
					least, codes = loss, append(codes[:0], r.Codes...)
					best.Scale, best.ZeroPoint = append(best.Scale[:0], r.Scale...), slices.Clone(r.Zero)
				}
				if step < cfg.Steps {
					from, err2 := g.DataPtr()
					in.Check("autoround", err2)
					kernels.Step(r, from, rate*(1-float64(step)/float64(cfg.Steps)), at)
				}
			})
			if step == cfg.Steps {
				return
			}
		}
	})
	return best, codes, err
}

func ones(n int64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}
