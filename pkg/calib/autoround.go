package calib

import (
	"github.com/qakd/qakd/internal/native/lattice"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

// autoRound learns the codes of w [n, k] by signed gradients (Cheng et al. 2023, "Optimize Weight Rounding via Signed
// Gradient Descent", §3): an offset v in -1/2 … 1/2 of each weight and a factor of each end of a group's range,
//
//	code = clamp(round(w/s + v) + z),   s and z of the range lo·a … hi·b
//
// step against the sign of their straight-through gradients, by a rate that falls to 0, and the best state is kept. The
// authors draw batches of a decoder block's inputs. Here it is one layer's expected output error, trace(d h dᵀ) of
// d = w - value with the mean Gram matrix h, whose gradient d·h needs no sampling: the same for all data, and nothing to
// draw. It makes the rows independent, and each keeps the best of its own states.
//
// d·h is no product of matrices at each step either. With a group's codes c less the zero point,
//
//	d h = w h - Σ over groups of s_g (c_g h_g)
//
// where the c_g h_g [k] are kept: a step multiplies them with the new scales, and adds a row of h for each of the few codes
// that changed. Range is how far the factors go from 1.
func autoRound(c *nn.Context, w []float32, n, k int64, h *ts.Tensor, sch quant.WeightScheme, cfg AutoRound) (quant.QParams, []byte, error) {
	lw, p, err := latticeOf(w, n, k, sch)
	if err != nil {
		return p, nil, err
	}
	rate := cfg.Rate
	if rate == 0 {
		rate = 1 / float64(cfg.Steps)
	}
	codes := make([]byte, n*k)
	at, err := c.Contiguous(h).DataPtr()
	c.Check("autoround", err)
	kernels().Round(lw, lattice.Rounding{H: at, Steps: cfg.Steps, Rate: rate, Most: cfg.Range}, p.Scale, p.ZeroPoint, codes)
	return p, codes, nil
}

// RoundingBytes is about what AutoRound takes besides the matrices that GPTQ takes too, of a layer with k inputs in groups of
// width: for each thread, products of a Gram matrix with the codes of some rows' groups.
func RoundingBytes(k, width int64) int64 { return lattice.RoundRoom(k, width, tensor.Threads()) }
