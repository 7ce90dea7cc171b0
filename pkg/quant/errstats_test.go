package quant_test

import (
	"math"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
)

func TestCompareValuesByHand(t *testing.T) {
	for _, c := range []struct {
		x, y             []float32
		sqnr, worst, cos float64
	}{
		{[]float32{3, 4}, []float32{3, 3.5}, 20, 0.5, (9 + 14) / (5 * math.Sqrt(9+12.25))},
		{[]float32{1, -1}, []float32{1, -1}, quant.MaxSQNR, 0, 1},
		{[]float32{0, 0}, []float32{0, 0}, quant.MaxSQNR, 0, 1},
		{[]float32{0, 0}, []float32{1, 0}, -quant.MaxSQNR, 1, 0},
	} {
		s, err := quant.CompareValues(c.x, c.y)
		if err != nil || math.Abs(s.SQNR-c.sqnr) > 1e-12 || s.MaxAbsErr != c.worst || math.Abs(s.CosSim-c.cos) > 1e-12 {
			t.Errorf("%v, %v: %+v (%v), want %v dB, %v, %v", c.x, c.y, s, err, c.sqnr, c.worst, c.cos)
		}
	}
	if _, err := quant.CompareValues([]float32{1}, nil); err == nil {
		t.Error("different lengths are no error")
	}
}

// Relative RMS error of a Gaussian in groups of 128 (measured for the seed project: 0.1172 absmax/7, 0.1107 absmax/7.5).
func TestWeightErrorOfAGaussian(t *testing.T) {
	const n, k = 256, 1024
	w := gaussian(n*k, 3)
	sch := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 128}
	for _, c := range []struct {
		m              quant.ScaleMethod
		want, from, to float64
	}{
		{quant.AbsMax, 0.1172, 0, 0}, {quant.AbsMaxHalf, 0.1107, 0, 0.01},
	} {
		p, err := quant.InitQParams(w, n, k, sch, c.m)
		if err != nil {
			t.Fatal(err)
		}
		s, err := quant.WeightError(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		if rel := math.Pow(10, -s.SQNR/20); math.Abs(rel-c.want) > 0.001 {
			t.Errorf("%v: relative error %.4f, want %.4f", c.m, rel, c.want)
		}
		if s.Clipped < c.from || s.Clipped > c.to {
			t.Errorf("%v: %v clipped, want %v...%v", c.m, s.Clipped, c.from, c.to)
		}
	}
	p := quant.QParams{Rows: 1, Groups: 1, Scale: []float32{1}}
	s, err := quant.WeightError([]float32{7.4, 7.6, -8.4, -9}, 1, 4, p, tensor4)
	if err != nil || s.Clipped != 0.5 {
		t.Errorf("clipped share %v (%v), want 0.5: 7.4 and -8.4 round into the range", s.Clipped, err)
	}
}
