package calib_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/quant"
)

// divergence is the published pseudocode, step by step, for a range of kept bins of magnitudes.
func divergence(counts []float64, kept, levels int) float64 {
	p, q := make([]float64, kept), make([]float64, kept)
	copy(p, counts[:kept])
	for _, c := range counts[kept:] {
		p[kept-1] += c
	}
	sums, filled := make([]float64, levels), make([]float64, levels)
	for j := range kept {
		sums[j*levels/kept] += counts[j]
		if counts[j] > 0 {
			filled[j*levels/kept]++
		}
	}
	var all, inside float64
	for j := range kept {
		if counts[j] > 0 {
			q[j] = sums[j*levels/kept] / filled[j*levels/kept]
		}
		all, inside = all+p[j], inside+q[j]
	}
	var kl float64
	for j := range kept {
		if p[j] > 0 && q[j] == 0 {
			return math.Inf(1)
		}
		if p[j] > 0 {
			kl += p[j] / all * math.Log(p[j]/all/(q[j]/inside))
		}
	}
	return kl
}

// The scale is that of a range whose divergence, by the pseudocode, is the least of all ranges.
func TestEntropyAgainstThePseudocode(t *testing.T) {
	for i, n := range []int{1, 2, 30, 500, 2000, 20000, 20000, 20000} {
		r := rand.New(rand.NewPCG(uint64(i), 5))
		a := quant.ActivationScheme{Bits: 4 + 4*(i%2), Mode: quant.StaticTensor}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		for range i {
			v[r.IntN(n)] *= 1 + 20*r.Float32()
		}
		h := new(calib.Histogram)
		h.Add(v)
		width := 4 * h.BinWidth()
		counts := make([]float64, 2048)
		var largest float64
		for _, x := range v {
			bin := int(math.Floor(float64(x) / width))
			if x < 0 { // on an edge, the bin that is nearer to zero
				bin = int(math.Ceil(-float64(x)/width)) - 1
			}
			counts[bin]++
			largest = max(largest, math.Abs(float64(x)))
		}
		got, err := (&calib.Entropy{H: h}).QParams(a)
		if err != nil {
			t.Fatal(err)
		}
		of := map[int]float64{} // divergence by bins kept
		least := math.Inf(1)
		for kept := 128; kept == 128 || float64(kept-1)*width < largest; kept++ {
			of[kept] = divergence(counts, kept, int(a.QMax())+1)
			least = min(least, of[kept])
		}
		found := false
		for kept, d := range of {
			clip := min((float64(kept)+0.5)*width, largest)
			found = found || d < least+1e-9 && quant.RoundScale(float32(clip/float64(a.QMax()))) == got.Scale[0]
		}
		if !found {
			t.Errorf("%d values, %v: scale %v is not that of a range with divergence %g, bins of %g", n, a, got.Scale[0], least, width)
		}
	}
}

// A far outlier is given up, a uniform range is not, and zeros have a scale.
func TestEntropyClips(t *testing.T) {
	a := quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}
	r := rand.New(rand.NewPCG(6, 6))
	v := make([]float32, 50000)
	scale := func() float32 {
		h := new(calib.Histogram)
		h.Add(v)
		p, err := (&calib.Entropy{H: h}).QParams(a)
		if err != nil {
			t.Fatal(err)
		}
		return p.Scale[0]
	}
	if s := scale(); s != quant.RoundScale(0) {
		t.Errorf("scale %v of zeros, want the smallest, %v", s, quant.RoundScale(0))
	}
	for i := range v {
		v[i] = float32(i%2*2-1) * r.Float32()
	}
	if s := scale() * 127; s < 0.98 || s > 1.01 {
		t.Errorf("range %v of uniform values up to 1", s)
	}
	v[3] = 10
	if s := scale() * 127; s < 0.98 || s > 1.3 {
		t.Errorf("range %v with one outlier at 10, want about 1", s)
	}
	if _, err := (&calib.Entropy{H: new(calib.Histogram)}).QParams(a); err == nil {
		t.Error("a scale without data")
	}
}
