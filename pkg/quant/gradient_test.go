package quant_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

// surrogate is the smooth function of doc.go in float64 around the present point: in range w + s (r0 - w0/s0), outside
// (q - z) s, z free there.
type surrogate struct {
	inside       bool
	round, exact float64 // frozen r0 and w0/s0
	bound        float64 // the clamped code
}

func newSurrogate(w, s float32, z, qmin, qmax float64) surrogate {
	exact := w / s
	r := math.RoundToEven(float64(exact))
	q := r + z
	return surrogate{q >= qmin && q <= qmax, r, float64(exact), min(max(q, qmin), qmax)}
}

func (f surrogate) at(w, s, z float64) float64 {
	if f.inside {
		return w + s*(f.round-f.exact)
	}
	return (f.bound - z) * s
}

// slope differentiates numerically. The surrogate is linear in each argument, so the step may be large.
func slope(f func(x float64) float64, x float64) float64 { return (f(x+0.5) - f(x-0.5)) / 1 }

// The gradients of one (row, group) are the finite differences of the surrogate, summed over the group with the loss's
// own weights.
func TestGradientsAreFiniteDifferences(t *testing.T) {
	const n, k = 4, 64
	for _, sch := range []quant.WeightScheme{
		quant.DefaultWeightScheme(), {Bits: 4, Granularity: quant.PerGroup, GroupSize: 32}, channel4, asym4, tensor4,
		{Bits: 8, Granularity: quant.PerTensor}, {Bits: 8, Symmetric: true, Granularity: quant.PerChannel},
	} {
		w, g := gaussian(n*k, 11), gaussian(n*k, 12)
		method := quant.AbsMax
		if !sch.Symmetric {
			method = quant.MinMax
		}
		p, err := quant.InitQParams(w, n, k, sch, method)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Scale {
			p.Scale[i] = quant.RoundScale(p.Scale[i] * 0.6) // so that some clip
		}
		width := len(w) / len(p.Scale)
		wantW, wantS, wantZ := make([]float32, n*k), make([]float32, len(p.Scale)), make([]float32, len(p.Scale))
		var clipped int
		for j, s := range p.Scale {
			z := 0.0
			if p.ZeroPoint != nil {
				z = float64(p.ZeroPoint[j])
			}
			var ds, dz float64
			for i := j * width; i < (j+1)*width; i++ {
				f, g := newSurrogate(w[i], s, z, float64(sch.QMin()), float64(sch.QMax())), float64(g[i])
				if !f.inside {
					clipped++
				}
				wantW[i] = float32(g * slope(func(v float64) float64 { return f.at(v, float64(s), z) }, float64(w[i])))
				ds += g * slope(func(v float64) float64 { return f.at(float64(w[i]), v, z) }, float64(s))
				dz += g * slope(func(v float64) float64 { return f.at(float64(w[i]), float64(s), v) }, z)
			}
			wantS[j], wantZ[j] = float32(ds), float32(dz)
		}
		if clipped < 4 || clipped > n*k/2 {
			t.Fatalf("%v: %d of %d clipped: the test has lost its point", sch, clipped, n*k)
		}
		run(t, func(s *tensor.Scope) error {
			wt := s.FromFloats(w, n, k)
			scale, zp := params(s, p)
			leaves := []*ts.Tensor{wt, scale}
			if zp != nil {
				leaves = append(leaves, zp)
			}
			for _, l := range leaves {
				if err := tensor.RequireGrad(l, true); err != nil {
					return err
				}
			}
			y := quant.FakeQuantizeWeight(s, wt, scale, zp, sch)
			if err := tensor.Backward(s.Sum(s.Mul(y, s.FromFloats(g, n, k)))); err != nil {
				return err
			}
			for i, want := range [][]float32{wantW, wantS, wantZ}[:len(leaves)] {
				got := floats(t, s.Gradient(leaves[i]))
				for j := range want {
					if math.Abs(float64(got[j]-want[j])) > 2e-4*max(1, math.Abs(float64(want[j]))) {
						return fmt.Errorf("%v: gradient %d [%d] is %v, finite differences %v", sch, i, j, got[j], want[j])
					}
				}
			}
			return nil
		})
	}
}

// gradients of FakeQuantizeActivation by hand: scale 0.5, codes -8...7.
func TestStaticActivationGradient(t *testing.T) {
	a := quant.ActivationScheme{Bits: 4, Mode: quant.StaticTensor}
	run(t, func(s *tensor.Scope) error {
		x, scale := s.FromFloats([]float32{0.6, 3.7, 3.8, -9}, 4), s.FromFloats([]float32{0.5}, 1)
		for _, l := range []*ts.Tensor{x, scale} {
			if err := tensor.RequireGrad(l, true); err != nil {
				return err
			}
		}
		if err := tensor.Backward(s.Sum(quant.FakeQuantizeActivation(s, x, scale, a))); err != nil {
			return err
		}
		// 3.7/0.5 = 7.4 rounds to 7: in range; 3.8/0.5 = 7.6 rounds to 8: clipped.
		if got := floats(t, s.Gradient(x)); !slices.Equal(got, []float32{1, 1, 0, 0}) {
			return fmt.Errorf("gradient of x %v, want 1 1 0 0", got)
		}
		want := (1 - 1.2) + (7 - 7.4) + 7 - 8
		if got := floats(t, s.Gradient(scale)); math.Abs(float64(got[0])-want) > 1e-5 {
			return fmt.Errorf("gradient of the scale %v, want %v", got[0], want)
		}
		return nil
	})
}

// A dynamic scale is a constant: the gradient passes unchanged, also at the largest value.
func TestDynamicActivationGradient(t *testing.T) {
	run(t, func(s *tensor.Scope) error {
		x, g := s.FromFloats([]float32{1, -3, 0.1, 2, 0, 7}, 2, 3), []float32{1, 2, 3, 4, 5, 6}
		if err := tensor.RequireGrad(x, true); err != nil {
			return err
		}
		y := quant.FakeQuantizeActivation(s, x, nil, quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken})
		if err := tensor.Backward(s.Sum(s.Mul(y, s.FromFloats(g, 2, 3)))); err != nil {
			return err
		}
		if got := floats(t, s.Gradient(x)); !slices.Equal(got, g) {
			return fmt.Errorf("gradient %v, want %v", got, g)
		}
		return nil
	})
}

// ScaleGradient leaves the value and multiplies the gradient; without recording nothing is built.
func TestScaleGradient(t *testing.T) {
	if f := quant.LSQFactor(32, 7); math.Abs(f-1/math.Sqrt(224)) > 1e-15 {
		t.Errorf("LSQFactor(32, 7) = %v", f)
	}
	run(t, func(s *tensor.Scope) error {
		x := s.FromFloats([]float32{0.1, 0.3}, 2)
		if err := tensor.RequireGrad(x, true); err != nil {
			return err
		}
		y := quant.ScaleGradient(s, x, 0.25)
		if err := sameBits(floats(t, y), []float32{0.1, 0.3}); err != nil {
			return err
		}
		if err := tensor.Backward(s.Sum(y)); err != nil {
			return err
		}
		if got := floats(t, s.Gradient(x)); !slices.Equal(got, []float32{0.25, 0.25}) {
			return fmt.Errorf("gradient %v, want 0.25", got)
		}
		tensor.NoGrad(func() {
			if quant.ScaleGradient(s, x, 0.25) != x {
				t.Error("a graph is built without recording")
			}
		})
		return nil
	})
}
