package quant_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
	"pgregory.net/rapid"
)

// What trains is what is packed: two scales give the value of the packed weight, which has one.
func TestPackDualIsTheTrainedValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, n, k, p, sch := draw(t)
		pre := make([]float32, len(p.Scale))
		for i, v := range p.Scale {
			pre[i] = quant.RoundScale(v * rapid.SampledFrom([]float32{0.7, 1, 1.3}).Draw(t, "pre"))
		}
		packed, err := quant.PackDual(w, n, k, pre, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		want, err := packed.Dequantize()
		if err != nil {
			t.Fatal(err)
		}
		run(t, func(s *tensor.Scope) error {
			scale, zp := params(s, p)
			m := quant.Master{W: s.FromFloats(w, n, k), Scale: scale, Pre: s.FromFloats(pre, p.Rows, p.Groups), Zero: zp, Scheme: sch, Factor: 1}
			return sameBits(floats(t, m.Value(s)), want)
		})
	})
	if _, err := quant.PackDual([]float32{1}, 1, 1, []float32{0.3}, quant.QParams{Rows: 1, Groups: 1, Scale: []float32{0.5}}, tensor4); err == nil {
		t.Error("a scale off the grid quantizes")
	}
}

// dualSurrogate is the smooth function of doc.go, "Two scales", in float64 around the present point: in range the rounding
// error of the quotient is frozen, outside the code is.
type dualSurrogate struct {
	inside       bool
	frozen, code float64
}

func newDualSurrogate(w, pre float32, z, qmin, qmax float64) dualSurrogate {
	exact := w / pre
	r := math.RoundToEven(float64(exact))
	q := r + z
	return dualSurrogate{q >= qmin && q <= qmax, r - float64(exact), min(max(q, qmin), qmax)}
}

func (f dualSurrogate) at(w, pre, post, z float64) float64 {
	if f.inside {
		return (w/pre + f.frozen) * post
	}
	return (f.code - z) * post
}

// The gradients of a fused layer with two scales, through an identity input, are finite differences of the surrogate.
func TestDualGradientsAreFiniteDifferences(t *testing.T) {
	const n, k = 4, 64
	for _, sch := range []quant.WeightScheme{quant.DefaultWeightScheme(), {Bits: 4, Granularity: quant.PerGroup, GroupSize: 32}, channel4, tensor4} {
		w, g := gaussian(n*k, 11), gaussian(n*k, 12)
		method := quant.AbsMax
		if !sch.Symmetric {
			method = quant.MinMax
		}
		p, err := quant.InitQParams(w, n, k, sch, method)
		if err != nil {
			t.Fatal(err)
		}
		pre := make([]float32, len(p.Scale))
		for i := range pre {
			pre[i] = quant.RoundScale(p.Scale[i] * 0.6) // so that some clip
		}
		const factor = 0.25
		width, clipped := len(w)/len(p.Scale), 0
		wantW, wantPre, wantPost, wantZ := make([]float64, n*k), make([]float64, len(pre)), make([]float64, len(pre)), make([]float64, len(pre))
		slope := func(f func(v float64) float64, at float64) float64 {
			h := 1e-4 * max(1, math.Abs(at))
			return (f(at+h) - f(at-h)) / (2 * h)
		}
		for j := range pre {
			z, s, q := 0.0, float64(p.Scale[j]), float64(pre[j])
			if p.ZeroPoint != nil {
				z = float64(p.ZeroPoint[j])
			}
			for i := j * width; i < (j+1)*width; i++ {
				f, g := newDualSurrogate(w[i], pre[j], z, float64(sch.QMin()), float64(sch.QMax())), float64(g[i])
				if !f.inside {
					clipped++
				}
				wantW[i] = g * slope(func(v float64) float64 { return f.at(v, q, s, z) }, float64(w[i]))
				wantPre[j] += factor * g * slope(func(v float64) float64 { return f.at(float64(w[i]), v, s, z) }, q)
				wantPost[j] += factor * g * slope(func(v float64) float64 { return f.at(float64(w[i]), q, v, z) }, s)
				wantZ[j] += factor * g * slope(func(v float64) float64 { return f.at(float64(w[i]), q, s, v) }, z)
			}
		}
		if clipped < 4 || clipped > n*k/2 {
			t.Fatalf("%v: %d of %d clipped: the test has lost its point", sch, clipped, n*k)
		}
		run(t, func(s *tensor.Scope) error {
			eye := make([]float32, k*k)
			for i := range k {
				eye[i*k+i] = 1
			}
			scale, zp := params(s, p)
			m := quant.Master{W: s.FromFloats(w, n, k), Scale: scale, Pre: s.FromFloats(pre, p.Rows, p.Groups), Zero: zp, Scheme: sch, Factor: factor}
			leaves, want := []*ts.Tensor{m.W, m.Pre, m.Scale}, [][]float64{wantW, wantPre, wantPost}
			if zp != nil {
				leaves, want = append(leaves, zp), append(want, wantZ)
			}
			for _, l := range leaves {
				if err := tensor.RequireGrad(l, true); err != nil {
					return err
				}
			}
			y := quant.Linear(s, s.FromFloats(eye, k, k), quant.Input{Factor: 1}, quant.Products{}, m)[0] // [k, n]
			if err := tensor.Backward(s.Sum(s.Mul(s.Transpose(y, 0, 1), s.FromFloats(g, n, k)))); err != nil {
				return err
			}
			for i, l := range leaves {
				got := floats(t, s.Gradient(l))
				for j := range got {
					if math.Abs(float64(got[j])-want[i][j]) > 1e-3*max(1, math.Abs(want[i][j])) {
						return fmt.Errorf("%v: gradient %d [%d] is %v, finite differences %v", sch, i, j, got[j], want[i][j])
					}
				}
			}
			return nil
		})
	}
}
