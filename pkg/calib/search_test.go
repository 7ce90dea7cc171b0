package calib

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	_ "github.com/qakd/qakd/internal/testkit/fixedseed"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"pgregory.net/rapid"
)

// draw makes a weight with rows and channels of different size, and the weights of its columns.
func draw(r *rand.Rand, n, k int64) (w []float32, h []float64) {
	w, h = make([]float32, n*k), make([]float64, k)
	for i := range w {
		w[i] = float32(r.NormFloat64() * math.Exp(r.NormFloat64()) * 0.05)
	}
	for i := range h {
		h[i] = math.Exp(3 * r.NormFloat64())
	}
	return w, h
}

var anyScheme = rapid.Custom(func(t *rapid.T) quant.WeightScheme {
	s := quant.WeightScheme{
		Bits:        rapid.SampledFrom([]int{4, 8}).Draw(t, "bits"),
		Symmetric:   rapid.Bool().Draw(t, "symmetric"),
		Granularity: rapid.SampledFrom([]quant.Granularity{quant.PerTensor, quant.PerChannel, quant.PerGroup}).Draw(t, "granularity"),
	}
	if s.Granularity == quant.PerGroup {
		s.GroupSize = rapid.SampledFrom([]int64{32, 64}).Draw(t, "group_size")
	}
	return s
})

type failer interface{ Fatal(...any) }

// naiveErrors of each (row, group): package quant's fake quantization and float64 sums.
func naiveErrors(t failer, w []float32, h []float64, n, k int64, p quant.QParams, sch quant.WeightScheme) []float64 {
	y, err := quant.FakeQuantize(w, n, k, p, sch)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(p.Scale))
	for i := range w {
		d := float64(w[i]) - float64(y[i])
		out[i*len(out)/len(w)] += h[int64(i)%k] * d * d
	}
	return out
}

// The search is never worse than a rule in any (row, group), under its own measure.
func TestSearchNeverLosesToARule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		sch := anyScheme.Draw(t, "scheme")
		n, k := int64(rapid.IntRange(1, 5).Draw(t, "n")), int64(64*rapid.IntRange(1, 3).Draw(t, "k"))
		w, h := draw(r, n, k)
		best, err := bestQParams(w, h, nil, n, k, sch, DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if err := best.Validate(sch, n, k); err != nil {
			t.Fatal(err)
		}
		got := naiveErrors(t, w, h, n, k, best, sch)
		methods := []quant.ScaleMethod{quant.AbsMax, quant.AbsMaxHalf, quant.SignedMax}
		if !sch.Symmetric {
			methods = []quant.ScaleMethod{quant.MinMax}
		}
		for _, m := range methods {
			p, err := quant.InitQParams(w, n, k, sch, m)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range naiveErrors(t, w, h, n, k, p, sch) {
				if got[i] > e*(1+1e-9) {
					t.Fatalf("unit %d of %v: error %g, %v has %g", i, sch, got[i], m, e)
				}
			}
		}
	})
}

// Against a search without shortcuts: every clip range, rounded to the grid, with every zero point of the five steps.
func TestSearchAgainstNaive(t *testing.T) {
	cfg := DefaultConfig()
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 6))
		sch := anyScheme.Draw(t, "scheme")
		n, k := int64(2), int64(64)
		w, h := draw(r, n, k)
		best, err := bestQParams(w, h, nil, n, k, sch, cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := naiveErrors(t, w, h, n, k, best, sch)
		width := len(w) / len(got)
		p := quant.QParams{Rows: best.Rows, Groups: best.Groups, Scale: make([]float32, len(got))}
		for i := range cfg.GridPoints {
			f := cfg.GridMin + (cfg.GridMax-cfg.GridMin)*float64(i)/float64(cfg.GridPoints-1)
			for step := range int32(5) {
				if !sch.Symmetric {
					p.ZeroPoint = make([]int32, len(got))
				}
				for u := range got {
					group := append(slices.Clone(w[u*width:(u+1)*width]), 0)
					lo, hi := float64(slices.Min(group)), float64(slices.Max(group))
					if sch.Symmetric {
						p.Scale[u] = quant.RoundScale(float32(f * max(-lo, hi) / float64(sch.QMax())))
						continue
					}
					s := quant.RoundScale(float32(f * (hi - lo) / float64(sch.QMax())))
					clamp := func(z float64) int32 { return int32(min(max(z, 0), float64(sch.QMax()))) }
					a := clamp(math.RoundToEven(float64(float32(-lo) / s)))
					b := clamp(float64(sch.QMax()) - math.RoundToEven(float64(float32(hi)/s)))
					p.Scale[u], p.ZeroPoint[u] = s, a+(b-a)*step/4
				}
				for u, e := range naiveErrors(t, w, h, n, k, p, sch) {
					if got[u] > e*(1+1e-6) {
						t.Fatalf("unit %d of %v: error %g at scale %v, but %v has %g", u, sch, got[u], best.Scale[u], p.Scale[u], e)
					}
				}
				if sch.Symmetric {
					break
				}
			}
		}
	})
}

// The five zero points lose next to nothing against all sixteen.
func TestZeroPointSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	sch := quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: 32}
	cfg := DefaultConfig()
	n, k := int64(16), int64(64)
	w, h := draw(r, n, k)
	best, err := bestQParams(w, h, nil, n, k, sch, cfg)
	if err != nil {
		t.Fatal(err)
	}
	least := naiveErrors(t, w, h, n, k, best, sch)
	sum := func(v []float64) (s float64) {
		for _, x := range v {
			s += x
		}
		return s
	}
	steps := sum(least)
	p := quant.QParams{Rows: best.Rows, Groups: best.Groups, Scale: make([]float32, len(least)), ZeroPoint: make([]int32, len(least))}
	for i := range cfg.GridPoints {
		f := cfg.GridMin + (cfg.GridMax-cfg.GridMin)*float64(i)/float64(cfg.GridPoints-1)
		for z := range int32(16) {
			for u := range least {
				group := append(slices.Clone(w[u*32:(u+1)*32]), 0)
				p.Scale[u] = quant.RoundScale(float32(f * float64(slices.Max(group)-slices.Min(group)) / 15))
				p.ZeroPoint[u] = z
			}
			for u, e := range naiveErrors(t, w, h, n, k, p, sch) {
				least[u] = min(least[u], e)
			}
		}
	}
	t.Logf("error with five steps %.4g, with all zero points %.4g", steps, sum(least))
	if steps > 1.02*sum(least) {
		t.Errorf("five steps lose %.1f %%", 100*(steps/sum(least)-1))
	}
}

// An outlier in one row leaves scales, zero points and codes of the others alone, by every method, and so does the number of
// threads.
func TestRowsAreIndependent(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	n, k := int64(150), int64(64)
	w, moments := draw(r, n, k)
	gram := gramOf(r, 256, int(k))
	outlier := slices.Clone(w)
	outlier[5*k+3] = 1000
	for _, sch := range []quant.WeightScheme{
		quant.DefaultWeightScheme(),
		{Bits: 4, Symmetric: true, Granularity: quant.PerChannel},
		{Bits: 4, Granularity: quant.PerGroup, GroupSize: 64},
	} {
		for _, method := range weightMethods {
			cfg := DefaultConfig()
			if cfg.WeightMethod = method; cfg.Suits(sch) != nil {
				continue
			}
			fit := func(w []float32, threads int) (p quant.QParams, codes []byte) {
				if err := tensor.SetThreads(threads); err != nil {
					t.Fatal(err)
				}
				defer tensor.SetThreads(1)
				err := nn.Run(func(c *nn.Context) (err error) {
					p, codes, err = FitWeight(c, Weight{w, n, k, sch}, moments, c.FromFloats(floats32(gram), k, k), cfg)
					if err == nil && codes == nil {
						codes, err = Codes(Weight{w, n, k, sch}, p)
					}
					return err
				})
				if err != nil {
					t.Fatalf("%s, %v: %v", method, sch, err)
				}
				return p, codes
			}
			before, codes := fit(w, 1)
			after, others := fit(outlier, 2)
			changed := map[int64]bool{}
			for i := range before.Scale {
				if before.Scale[i] != after.Scale[i] || before.ZeroPoint != nil && before.ZeroPoint[i] != after.ZeroPoint[i] {
					changed[int64(i)/before.Groups] = true
				}
			}
			for i := range codes {
				if codes[i] != others[i] {
					changed[int64(i)/k] = true
				}
			}
			if len(changed) != 1 || !changed[5] {
				t.Errorf("%s, %v: an outlier in row 5 changed rows %v", method, sch, changed)
			}
		}
	}
}

// Gaussian groups of 128: what each rule loses (root mean square, relative) against the figures of the literature list,
// absmax/7 0.117, absmax/7.5 0.111, search 0.101.
func TestGaussianErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	sch := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 128}
	n, k := int64(64), int64(1024)
	w := make([]float32, n*k)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	cfg := DefaultConfig()
	cfg.Weighting = WeightNone
	for _, c := range []struct {
		method WeightMethod
		want   float64
	}{{AbsMax, 0.1172}, {AbsMaxHalf, 0.1107}, {SearchMSE, 0.1009}} {
		cfg.WeightMethod = c.method
		p, err := fitScales(nil, w, nil, nil, n, k, sch, cfg)
		if err != nil {
			t.Fatal(err)
		}
		e, err := quant.WeightError(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		if got := math.Pow(10, -e.SQNR/20); math.Abs(got-c.want) > 0.02*c.want {
			t.Errorf("%s: relative error %.4f, want about %.4f", c.method, got, c.want)
		}
	}
}

// Zeros have codes of zero under the smallest scale; channels that the data never used follow the plain error.
func TestSilence(t *testing.T) {
	sch := quant.DefaultWeightScheme()
	h := importance(make([]float64, 64))
	p, err := bestQParams(make([]float32, 64), h, nil, 1, 64, sch, DefaultConfig())
	if err != nil || !slices.Equal(p.Scale, []float32{quant.ScaleMin, quant.ScaleMin}) {
		t.Errorf("scales of zeros %v, want %v (%v)", p.Scale, quant.ScaleMin, err)
	}
	w, _ := draw(rand.New(rand.NewPCG(10, 10)), 4, 64)
	moments := make([]float64, 64)
	for i := range 32 {
		moments[i] = 1 // the second group never saw data
	}
	weighted, err := bestQParams(w, importance(moments), nil, 4, 64, sch, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	plain, err := bestQParams(w, importance(make([]float64, 64)), nil, 4, 64, sch, DefaultConfig())
	if err != nil || !slices.Equal(weighted.Scale, plain.Scale) {
		t.Errorf("scales %v, want those of the plain error %v (%v)", weighted.Scale, plain.Scale, err)
	}
}

// One thread, 2048 x 2048 weights, the default grid of 80 points.
func BenchmarkSearch(b *testing.B) {
	for name, sch := range map[string]quant.WeightScheme{
		"sym-g32":  quant.DefaultWeightScheme(),
		"sym-g128": {Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 128},
		"asym-g32": {Bits: 4, Granularity: quant.PerGroup, GroupSize: 32},
	} {
		b.Run(name, func(b *testing.B) {
			if err := tensor.SetThreads(1); err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 1))
			const n, k = 2048, 2048
			w, h := make([]float32, n*k), make([]float64, k)
			for i := range w {
				w[i] = float32(r.NormFloat64() * 0.02)
			}
			for i := range h {
				h[i] = r.ExpFloat64()
			}
			for b.Loop() {
				if _, err := bestQParams(w, h, nil, n, k, sch, DefaultConfig()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*k), "ns/weight")
		})
	}
}
