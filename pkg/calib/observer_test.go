package calib_test

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

var a4 = quant.ActivationScheme{Bits: 4, Mode: quant.StaticTensor}

// observed runs f on a tensor of v with this last dimension.
func withTensor(t testing.TB, v []float32, f func(x *ts.Tensor) error) error {
	t.Helper()
	return tensor.Run(func(s *tensor.Scope) error { return f(s.FromFloats(v, int64(len(v)))) })
}

// heavy draws values of very different magnitudes, zeros included.
func heavy(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * math.Exp(2*r.NormFloat64()))
		if r.IntN(20) == 0 {
			v[i] = 0
		}
	}
	return v
}

func TestPercentileAgainstSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		v := heavy(r, rapid.IntRange(1, 3000).Draw(t, "n"))
		var h calib.Histogram
		for rest := v; len(rest) > 0; { // in pieces, so that it has to widen
			n := 1 + r.IntN(len(rest))
			h.Add(rest[:n])
			rest = rest[n:]
		}
		sorted := make([]float64, len(v))
		for i, x := range v {
			sorted[i] = math.Abs(float64(x))
		}
		slices.Sort(sorted)
		if h.N() != int64(len(v)) || h.BinWidth() > sorted[len(v)-1]/4096 && sorted[len(v)-1] > 0 {
			t.Fatalf("%d values of %d, bins of %g for %g", h.N(), len(v), h.BinWidth(), sorted[len(v)-1])
		}
		for _, p := range []float64{0.001, 10, 50, 90, 99, 99.9, 99.99, 100} {
			want := sorted[int(math.Ceil(p/100*float64(len(v))))-1]
			got := float64(h.AbsPercentile(p))
			if got < want || got > want+h.BinWidth() {
				t.Fatalf("percentile %v of %d values is %g, by sorting %g, bins of %g", p, len(v), got, want, h.BinWidth())
			}
		}
	})
}

// A naive histogram of all values at the final bin width, however the values came.
func TestHistogramDoesNotDependOnTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		v := heavy(r, rapid.IntRange(2, 800).Draw(t, "n"))
		if rapid.Bool().Draw(t, "edge") {
			v[0] = -float32(math.Ldexp(1, r.IntN(20)-10)) // a value on the edge of the range
		}
		var one, a calib.Histogram
		one.Add(v)
		shuffled := slices.Clone(v)
		r.Shuffle(len(v), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		cut := r.IntN(len(v))
		for _, x := range shuffled[:cut] {
			a.Add([]float32{x})
		}
		a.Add(shuffled[cut:])
		a.Add(nil)
		naive := map[float64]int64{}
		for _, x := range v {
			naive[math.Floor(float64(x)/one.BinWidth())]++
		}
		if a.N() != one.N() || a.BinWidth() != one.BinWidth() || a.Power() != one.Power() {
			t.Fatalf("one by one %d values, bins of %g, power %g; at once %d, %g, %g",
				a.N(), a.BinWidth(), a.Power(), one.N(), one.BinWidth(), one.Power())
		}
		var power float64
		for i, n := range naive {
			power += float64(n) * math.Pow((i+0.5)*one.BinWidth(), 2) / float64(len(v))
		}
		if math.Abs(power-one.Power()) > 1e-12*power {
			t.Fatalf("power %g, naive histogram %g", one.Power(), power)
		}
		for p := 1.0; p <= 100; p++ {
			if a.AbsPercentile(p) != one.AbsPercentile(p) {
				t.Fatalf("percentile %v: %v merged, %v at once", p, a.AbsPercentile(p), one.AbsPercentile(p))
			}
		}
	})
}

func TestMinMaxDoesNotDependOnTheOrder(t *testing.T) {
	v := heavy(rand.New(rand.NewPCG(3, 3)), 500)
	var all, reversed calib.MinMax
	for i := 0; i < len(v); i += 50 {
		j := len(v) - i
		if err := withTensor(t, v[i:i+50], all.Observe); err != nil {
			t.Fatal(err)
		}
		if err := withTensor(t, v[j-50:j], reversed.Observe); err != nil {
			t.Fatal(err)
		}
	}
	if all != reversed || all.Min != slices.Min(v) || all.Max != slices.Max(v) || all.N != 500 {
		t.Errorf("range %+v, backwards %+v, want %v...%v", all, reversed, slices.Min(v), slices.Max(v))
	}
	p, err := all.QParams(a4)
	if want := quant.RoundScale(max(-all.Min, all.Max) / 7); err != nil || p.Scale[0] != want {
		t.Errorf("scale %v, want %v (%v)", p.Scale, want, err)
	}
}

// m_n = (1-c)^(n-1) x_1 + sum_{i=2..n} c (1-c)^(n-i) x_i
func TestMovingAverageClosedForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.Float64Range(0.01, 1).Draw(t, "c")
		maxima := rapid.SliceOfN(rapid.Float32Range(-50, 100), 1, 30).Draw(t, "maxima")
		o := calib.MovingAverage{Constant: c}
		var lo, hi float64
		for i, x := range maxima {
			err := tensor.Run(func(s *tensor.Scope) error { return o.Observe(s.FromFloats([]float32{x, x - 3}, 1, 2)) })
			if err != nil {
				t.Fatal(err)
			}
			share := c * math.Pow(1-c, float64(len(maxima)-1-i))
			if i == 0 {
				share = math.Pow(1-c, float64(len(maxima)-1))
			}
			hi += share * float64(x)
			lo += share * float64(x-3)
		}
		if math.Abs(o.Max-hi) > 1e-9 || math.Abs(o.Min-lo) > 1e-9 || o.N != int64(len(maxima)) {
			t.Fatalf("averages %v...%v after %d batches, want %v...%v", o.Min, o.Max, o.N, lo, hi)
		}
	})
}

// The MSE observer beats no clipping and any scale of a fine scan, as far as the histogram can tell, and on the values.
func TestMSEObserver(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	v := make([]float32, 20000)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	v[77] = 40 // an outlier that is not worth its codes
	errorOf := func(scale float32) (sum float64) {
		q, err := quant.QuantizeStatic(v, scale, a4)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range v {
			d := float64(x) - float64(q[i])*float64(scale)
			sum += d * d
		}
		return sum / float64(len(v))
	}
	scaleOf := func(kind calib.ObserverKind) float32 {
		cfg := calib.DefaultConfig()
		cfg.Observer, cfg.Percentile = kind, 99.9
		o, err := calib.NewObserver(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.QParams(a4); err == nil {
			t.Errorf("%s: a scale without data", kind)
		}
		if err := withTensor(t, v, o.Observe); err != nil {
			t.Fatal(err)
		}
		p, err := o.QParams(a4)
		if err != nil || p.Validate(quant.WeightScheme{Bits: 4, Symmetric: true}, 1, 1) != nil {
			t.Fatalf("%s: %v, %v", kind, p, err)
		}
		return p.Scale[0]
	}
	mse := errorOf(scaleOf(calib.ObserveMSE))
	if least := errorOf(scaleOf(calib.ObserveMinMax)) / 5; mse > least {
		t.Errorf("error %v, want at most %v: a fifth of the error without clipping", mse, least)
	}
	if p := errorOf(scaleOf(calib.ObservePercentile)); mse > p {
		t.Errorf("error %v, more than that of the percentile %v", mse, p)
	}
	for s := float32(0.1); s < 6; s *= 1.01 {
		if e := errorOf(quant.RoundScale(s)); mse > 1.02*e {
			t.Errorf("error %v, but scale %v has %v", mse, s, e)
		}
	}
}

func TestObserversRejectNaN(t *testing.T) {
	for _, kind := range []calib.ObserverKind{calib.ObserveMinMax, calib.ObserveMovingAverage, calib.ObservePercentile, calib.ObserveMSE, calib.ObserveEntropy} {
		cfg := calib.DefaultConfig()
		cfg.Observer = kind
		o, err := calib.NewObserver(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if err := withTensor(t, []float32{1, float32(bad)}, o.Observe); err == nil {
				t.Errorf("%s took %v", kind, bad)
			}
		}
		if _, err := o.QParams(quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}); err == nil {
			t.Errorf("%s: a static scale for a dynamic scheme", kind)
		}
	}
}
