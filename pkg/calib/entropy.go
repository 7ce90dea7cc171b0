package calib

import (
	"math"

	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

const (
	entropyMerge = 4                   // bins of a Histogram in one bin of magnitudes
	entropyBins  = half / entropyMerge // 2048, as there
	entropyLeast = 128                 // the fewest bins that a clip range keeps
)

// Entropy looks for the clip range whose codes tell most about the magnitudes: the least KL divergence between the
// histogram of |x|, with everything beyond the range in its last bin, and the same histogram with one mean count for all
// bins of a code (Migacz 2017, "8-bit Inference with TensorRT", GTC talk S7310, "Entropy calibration"). As there it takes
// 2048 bins of magnitudes, ranges of 128 bins and more, and the middle of the bin after the range. Empty bins stay empty. It
// was made for convolutional networks: of a talker's inputs, whose few large values matter, it clips far too much.
type Entropy struct{ H *Histogram }

// Observe counts the values.
func (o *Entropy) Observe(x *ts.Tensor) error { return o.H.observe(x) }

// QParams is the clip range over qmax; the largest magnitude where no shorter range has less divergence.
func (o *Entropy) QParams(a quant.ActivationScheme) (quant.QParams, error) {
	largest := float64(o.H.absMax())
	if o.H.n == 0 || a.Validate() != nil {
		return static(largest, a, o.H.n)
	}
	kept := leastDivergence(o.H.magnitudes(), int(a.QMax())+1)
	return static(min((float64(kept)+0.5)*entropyMerge*o.H.BinWidth(), largest), a, o.H.n)
}

// magnitudes counts |x| in bins of entropyMerge bin widths, up to the last that holds something. A negative value on the
// edge of two bins counts in the lower one.
func (h *Histogram) magnitudes() []int64 {
	out, top := make([]int64, entropyBins), 0
	for i := range half {
		if c := h.counts[half+i] + h.counts[half-1-i]; c > 0 {
			out[i/entropyMerge] += c
			top = i/entropyMerge + 1
		}
	}
	return out[:top]
}

// leastDivergence is the number of bins to keep. Sums over the bins of a code are differences of running sums, so a range
// costs one step a code, not one a bin.
func leastDivergence(counts []int64, levels int) int {
	top := len(counts)
	count, filled, entropy := make([]float64, top+1), make([]float64, top+1), make([]float64, top+1)
	for j, c := range counts {
		count[j+1], filled[j+1], entropy[j+1] = count[j]+float64(c), filled[j]+float64(min(c, 1)), entropy[j]+xlogx(float64(c))
	}
	best, least := top, math.Inf(1)
	for kept := min(entropyLeast, top); kept <= top; kept++ {
		last, beyond := float64(counts[kept-1]), count[top]-count[kept]
		if last == 0 && beyond > 0 {
			continue // there are values where no code tells of any: an infinite divergence
		}
		var cross float64 // of the counts with the logarithm of their codes' means
		for l := range levels {
			from, to := ceilDiv(l*kept, levels), ceilDiv((l+1)*kept, levels)
			c := count[to] - count[from]
			if c == 0 {
				continue
			}
			if to == kept {
				cross += beyond * math.Log(c/(filled[to]-filled[from]))
			}
			cross += c * math.Log(c/(filled[to]-filled[from]))
		}
		own := entropy[kept-1] + xlogx(last+beyond)
		if d := (own-cross)/count[top] + math.Log(count[kept]/count[top]); d < least {
			best, least = kept, d
		}
	}
	return best
}

func xlogx(x float64) float64 {
	if x == 0 {
		return 0
	}
	return x * math.Log(x)
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
