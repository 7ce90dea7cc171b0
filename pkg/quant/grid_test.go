package quant_test

import (
	"math"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
	"github.com/x448/float16"
	"pgregory.net/rapid"
)

// grid lists every scale: 30 binades of 128 values.
func grid() []float32 {
	var g []float32
	for e := -14; e <= 15; e++ {
		for m := 128; m < 256; m++ {
			g = append(g, float32(math.Ldexp(float64(m), e-7)))
		}
	}
	return g
}

func TestGridIsExactInBothHalfFormats(t *testing.T) {
	g := grid()
	if len(g) != 3840 || g[0] != quant.ScaleMin || g[len(g)-1] != quant.ScaleMax {
		t.Fatalf("grid of %d values %v...%v, want 3840 values %v...%v", len(g), g[0], g[len(g)-1], quant.ScaleMin, quant.ScaleMax)
	}
	for i, s := range g {
		if !quant.OnGrid(s) {
			t.Fatalf("%v is not on the grid", s)
		}
		if b := math.Float32bits(s); b&0xffff != 0 {
			t.Fatalf("%v is not exact in bf16", s)
		}
		if h := float16.Fromfloat32(s); h.Float32() != s || !h.IsNormal() {
			t.Fatalf("%v is not exact and normal in fp16", s)
		}
		if i == 0 {
			continue
		}
		mid := (g[i-1] + s) / 2 // exact: 9 bits
		even := s
		if math.Float32bits(s)>>16&1 == 1 {
			even = g[i-1]
		}
		for _, c := range []struct{ x, want float32 }{
			{mid, even}, {math.Nextafter32(mid, 0), g[i-1]}, {math.Nextafter32(mid, 1e6), s}, {s, s},
		} {
			if got := quant.RoundScale(c.x); got != c.want {
				t.Fatalf("RoundScale(%v) = %v, want %v", c.x, got, c.want)
			}
			if quant.OnGrid(c.x) != (c.x == s) {
				t.Fatalf("OnGrid(%v) is wrong", c.x)
			}
		}
	}
}

func TestRoundScaleOutsideTheGrid(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, quant.ScaleMin}, {-3, quant.ScaleMin}, {1e-30, quant.ScaleMin}, {-inf, quant.ScaleMin},
		{65504, quant.ScaleMax}, {1e30, quant.ScaleMax}, {inf, quant.ScaleMax},
	} {
		if got := quant.RoundScale(c.x); got != c.want {
			t.Errorf("RoundScale(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if nan := quant.RoundScale(float32(math.NaN())); nan == nan || quant.OnGrid(nan) {
		t.Errorf("RoundScale(NaN) = %v, want NaN, which is on no grid", nan)
	}
}

// The bit trick against the definition, rounding the significand in float64.
func TestRoundScaleIsHalfToEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float32Range(quant.ScaleMin, quant.ScaleMax).Draw(t, "x")
		frac, exp := math.Frexp(float64(x))
		want := float32(math.Ldexp(math.RoundToEven(frac*256), exp-8))
		if got := quant.RoundScale(x); got != min(want, quant.ScaleMax) {
			t.Fatalf("RoundScale(%v) = %v, want %v", x, got, want)
		}
	})
}
