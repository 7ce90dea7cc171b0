package calib

import "math"

const (
	halfBits = 13            // bins on each side of zero, as a power of two
	half     = 1 << halfBits //
	tiniest  = -149          // exponent of the smallest float32: nothing but zeros is finer
)

// Histogram counts values in bins [i, i+1) * 2^exp, i from -half to half-1, exp the smallest that holds them all. The
// zero value is empty and ready.
type Histogram struct {
	counts   []int64 // bin i at half+i
	exp      int
	n        int64
	min, max float32
}

// N is the number of values counted.
func (h *Histogram) N() int64 { return h.n }

// BinWidth is 2^exp: the resolution of what the histogram answers.
func (h *Histogram) BinWidth() float64 { return math.Ldexp(1, h.exp) }

// Add counts finite values.
func (h *Histogram) Add(v []float32) { h.add(v, spanOf(v)) }

func (h *Histogram) add(v []float32, s span) {
	if s.n == 0 {
		return
	}
	h.include(s.lo, s.hi)
	inverse := math.Ldexp(1, -h.exp) // a power of two: the product below is exact
	for _, x := range v {
		h.counts[half+int(math.Floor(float64(x)*inverse))]++
	}
	h.n += s.n
}

// include makes room for lo...hi.
func (h *Histogram) include(lo, hi float32) {
	if h.n == 0 {
		h.counts, h.exp, h.min, h.max = make([]int64, 2*half), tiniest, lo, hi
	}
	h.min, h.max = min(h.min, lo), max(h.max, hi)
	exp := h.exp
	if a := h.absMax(); a > 0 {
		_, e := math.Frexp(float64(a)) // a < 2^e
		exp = max(e-halfBits, tiniest)
	}
	if shift := exp - h.exp; shift > 0 {
		wider := make([]int64, 2*half)
		for i, c := range h.counts {
			wider[half+(i-half)>>shift] += c // an arithmetic shift rounds down, as the bins do
		}
		h.counts, h.exp = wider, exp
	}
}

func (h *Histogram) absMax() float32 { return max(-h.min, h.max) }

// AbsPercentile is the p-th percentile of |x|, 0 < p <= 100: the smallest bin edge with at least p percent of the values
// at or below it, and at most the largest magnitude. The percentile by sorting is less than a bin below. 0 when empty.
func (h *Histogram) AbsPercentile(p float64) float32 {
	if h.n == 0 {
		return 0
	}
	want := int64(math.Ceil(p / 100 * float64(h.n)))
	var seen int64
	for i := range half {
		seen += h.counts[half+i] + h.counts[half-1-i]
		if seen >= want {
			return min(float32(math.Ldexp(float64(i+1), h.exp)), h.absMax())
		}
	}
	return h.absMax()
}

// SquaredError is the mean squared error of quantizing the values, taken at the middle of their bins, with codes
// -qmax-1...qmax of this scale.
func (h *Histogram) SquaredError(scale float32, qmax int32) float64 {
	return h.values().squaredError(scale, qmax)
}

// Power is the mean square of the values, taken at the middle of their bins.
func (h *Histogram) Power() (mean float64) {
	for _, b := range h.values() {
		mean += float64(b.share * b.x * b.x)
	}
	return mean
}

// bins that hold something: the middle and the share of all values.
type bins []struct{ x, share float64 }

func (h *Histogram) values() (out bins) {
	for i, c := range h.counts {
		if c > 0 {
			middle := math.Ldexp(float64(i-half)+0.5, h.exp)
			out = append(out, struct{ x, share float64 }{middle, float64(c) / float64(h.n)})
		}
	}
	return out
}

func (v bins) squaredError(scale float32, qmax int32) (mean float64) {
	s, hi, lo := float64(scale), float64(qmax), -float64(qmax)-1
	for _, b := range v {
		d := b.x - float64(min(max(math.RoundToEven(b.x/s), lo), hi)*s)
		mean += float64(b.share * d * d)
	}
	return mean
}
