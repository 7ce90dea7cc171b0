package quant_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
	"pgregory.net/rapid"
)

// The one-pass kernels against tensor operations: values to the bit, weight gradients equal, sums within rounding.
func TestFusedIsComposite(t *testing.T) {
	type result struct{ y, gw, gs, gz, tokens []float32 }
	rapid.Check(t, func(t *rapid.T) {
		w, n, k, p, sch := draw(t)
		g := gaussian(len(w), 4)
		once := func(composite bool) (r result) {
			quant.SetComposite(composite)
			defer quant.SetComposite(false)
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
				r.y, r.gw, r.gs = floats(t, y), floats(t, s.Gradient(wt)), floats(t, s.Gradient(scale))
				if zp != nil {
					r.gz = floats(t, s.Gradient(zp))
				}
				r.tokens = floats(t, quant.FakeQuantizeActivation(s, wt, nil, quant.ActivationScheme{Bits: sch.Bits, Mode: quant.DynamicToken}))
				return nil
			})
			return r
		}
		a, b := once(false), once(true)
		if !slices.Equal(a.gw, b.gw) { // a masked gradient may be 0 or -0
			t.Fatalf("%v: gradients of w differ", sch)
		}
		for what, pair := range map[string][2][]float32{"value": {a.y, b.y}, "tokens": {a.tokens, b.tokens}} {
			if err := sameBits(pair[0], pair[1]); err != nil {
				t.Fatalf("%v: %s: %v", sch, what, err)
			}
		}
		size := math.Sqrt(float64(len(w))) * float64(sch.QMax()-sch.QMin())
		for i := range a.gs {
			if math.Abs(float64(a.gs[i]-b.gs[i])) > 1e-5*size {
				t.Fatalf("%v: gradient of scale %d: %v and %v", sch, i, a.gs[i], b.gs[i])
			}
		}
		for i := range a.gz {
			if math.Abs(float64(a.gz[i]-b.gz[i])) > 1e-5*size*float64(p.Scale[i]) {
				t.Fatalf("%v: gradient of zero point %d: %v and %v", sch, i, a.gz[i], b.gz[i])
			}
		}
	})
}

// Values that no code can hold: NaN stays NaN, infinities clamp, nothing turns into a plausible number.
func TestFakeQuantizeOfNonFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, composite := range []bool{false, true} {
		quant.SetComposite(composite)
		run(t, func(s *tensor.Scope) error {
			y := floats(t, quant.FakeQuantizeWeight(s, s.FromFloats([]float32{nan, inf, -inf, 1e30, -1e30, 5e6, -5e6}, 1, 7), s.FromFloats([]float32{0.5}, 1, 1), nil, tensor4))
			if y[0] == y[0] {
				return fmt.Errorf("composite %v: NaN became %v", composite, y[0])
			}
			return sameBits(y[1:], []float32{3.5, -4, 3.5, -4, 3.5, -4})
		})
	}
	quant.SetComposite(false)
}

// A large tensor with one scale is cut into pieces; the gradient of the scale does not depend on the threads.
func TestScaleGradientOfManyPieces(t *testing.T) {
	const n, k = 300, 1000
	w := gaussian(n*k, 8)
	grad := func() (out []float32) {
		run(t, func(s *tensor.Scope) error {
			scale := s.FromFloats([]float32{0.25}, 1, 1)
			if err := tensor.RequireGrad(scale, true); err != nil {
				return err
			}
			if err := tensor.Backward(s.Sum(quant.FakeQuantizeWeight(s, s.FromFloats(w, n, k), scale, nil, tensor4))); err != nil {
				return err
			}
			out = floats(t, s.Gradient(scale))
			return nil
		})
		return out
	}
	var want float64
	for _, v := range w {
		e := float64(v / 0.25)
		if q := math.RoundToEven(e); q >= -8 && q <= 7 {
			want += q - e
		} else {
			want += min(max(q, -8), 7)
		}
	}
	got := grad()
	if math.Abs(float64(got[0])-want) > 1e-5*math.Abs(want)+0.05 {
		t.Errorf("gradient %v, want %v", got[0], want)
	}
	if again := grad(); again[0] != got[0] {
		t.Errorf("a second pass gives %v, not %v", again[0], got[0])
	}
}
