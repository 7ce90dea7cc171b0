package inspect

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/quant"
)

func TestSummarize(t *testing.T) {
	got := summarize([]float32{1, -3, float32(math.NaN()), 2, float32(math.Inf(1)), 4})
	want := Stage{Mean: 1, Std: math.Sqrt((0 + 16 + 1 + 9) / 4.0), AbsMax: 4, NotFinite: 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := summarize([]float32{float32(math.NaN())}); got.NotFinite != 1 || got.Mean != 0 {
		t.Errorf("nothing finite: %+v", got)
	}
}

func TestCodebook(t *testing.T) {
	ln := func(p ...float64) (out []float32) {
		for _, x := range p {
			out = append(out, float32(math.Log(x)))
		}
		return out
	}
	got := codebook(2, ln(0.25, 0.5, 0.25, 0.125, 0.125, 0.75), 3, []int64{0, 2})
	if got.Codebook != 2 || got.Events != 2 || got.Label != 0 || got.Agreement != 0.5 {
		t.Errorf("%+v", got)
	}
	if want := (math.Log(4) - math.Log(0.75)) / 2; math.Abs(got.NLL-want) > 1e-6 {
		t.Errorf("nll %v, want %v", got.NLL, want)
	}
	ids := []int{got.First[0].ID, got.First[1].ID, got.First[2].ID}
	if !cmp.Equal(ids, []int{1, 0, 2}) || math.Abs(got.First[0].P-0.5) > 1e-6 { // equals in order of ids
		t.Errorf("%+v", got.First)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1928677440: "1,928,677,440"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}

// TestNoise: 10 dB and 20 dB of equal power make 10·log10(2 / (0.1 + 0.01)).
func TestNoise(t *testing.T) {
	var n noise
	n.add([]float32{1, 1}, quant.ErrorStats{SQNR: 10})
	n.add([]float32{1, -1}, quant.ErrorStats{SQNR: 20})
	if got, want := n.sqnr(), 10*math.Log10(4/(0.2+0.02)); math.Abs(got-want) > 1e-9 {
		t.Errorf("%v dB, want %v", got, want)
	}
	if got := new(noise).sqnr(); got != quant.MaxSQNR {
		t.Errorf("no error at all: %v", got)
	}
}
