package calib

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// Student's t with three degrees of freedom: most weights small, some far out.
func heavyTails(r *rand.Rand, n int) []float32 {
	w := make([]float32, n)
	for i := range w {
		var s float64
		for range 3 {
			z := r.NormFloat64()
			s += z * z / 3
		}
		w[i] = float32(0.02 * r.NormFloat64() / math.Sqrt(s))
	}
	return w
}

// Half-quadratic fitting loses less than the range in its own norm and in squares, never more in any group in its norm.
func TestHQQOnHeavyTails(t *testing.T) {
	const n, k = 32, 256
	sch := quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: 64}
	w, cfg := heavyTails(rand.New(rand.NewPCG(1, 1)), n*k), DefaultConfig().HQQ
	fitted, err := halfQuadratic(w, slices.Repeat([]float64{1}, k), n, k, sch, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := fitted.Validate(sch, n, k); err != nil {
		t.Fatal(err)
	}
	ranged, _, err := Nearest(w, n, k, sch, quant.MinMax)
	if err != nil {
		t.Fatal(err)
	}
	var norm, squares [2]float64
	groups := [2][]float64{make([]float64, n*k/64), make([]float64, n*k/64)}
	for i, p := range []quant.QParams{fitted, ranged} {
		y, err := quant.FakeQuantize(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		for j := range w {
			d := math.Abs(float64(w[j]) - float64(y[j]))
			norm[i] += math.Pow(d, cfg.P)
			groups[i][j/64] += math.Pow(d, cfg.P)
			squares[i] += d * d
		}
	}
	t.Logf("sum |e|^%g: %.4g, range %.4g; sum of squares %.4g, range %.4g", cfg.P, norm[0], norm[1], squares[0], squares[1])
	if norm[0] > 0.98*norm[1] || squares[0] > squares[1] {
		t.Errorf("sum |e|^%g %.4g and of squares %.4g, by the range %.4g and %.4g", cfg.P, norm[0], squares[0], norm[1], squares[1])
	}
	for g := range groups[0] {
		if groups[0][g] > groups[1][g]*(1+1e-5) {
			t.Errorf("group %d: %.4g, by the range %.4g", g, groups[0][g], groups[1][g])
		}
	}
}

// Weighted half-quadratic fitting loses less where it counts than the range and than fitting without weights, never more than
// the range in any group; weights that are all alike are none.
func TestHQQWeighted(t *testing.T) {
	const n, k, width = 32, 256, 64
	sch := quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: width}
	w, cfg := heavyTails(rand.New(rand.NewPCG(2, 1)), n*k), DefaultConfig().HQQ
	h := make([]float64, k)
	for j := range h {
		h[j] = math.Exp(2 * float64(j%7-3))
	}
	fit := func(h []float64) quant.QParams {
		p, err := halfQuadratic(w, h, n, k, sch, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	even := fit(slices.Repeat([]float64{1}, k))
	if again := fit(slices.Repeat([]float64{8}, k)); !slices.Equal(again.Scale, even.Scale) || !slices.Equal(again.ZeroPoint, even.ZeroPoint) {
		t.Error("weights of 8 are not those of 1")
	}
	ranged, _, err := Nearest(w, n, k, sch, quant.MinMax)
	if err != nil {
		t.Fatal(err)
	}
	lost := func(p quant.QParams, power float64) (groups []float64, all float64) {
		y, err := quant.FakeQuantize(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		groups = make([]float64, n*k/width)
		for j := range w {
			e := h[j%k] * math.Pow(math.Abs(float64(w[j])-float64(y[j])), power)
			groups[j/width] += e
			all += e
		}
		return groups, all
	}
	for _, power := range []float64{cfg.P, 2} {
		weighted, a := lost(fit(h), power)
		_, b := lost(even, power)
		range_, c := lost(ranged, power)
		t.Logf("sum h |e|^%g: %.4g weighted, %.4g without weights, %.4g by the range", power, a, b, c)
		if a > 0.95*b || a > 0.95*c {
			t.Errorf("sum h |e|^%g: %.4g weighted, %.4g without weights, %.4g by the range", power, a, b, c)
		}
		for g := range weighted {
			if weighted[g] > range_[g]*(1+1e-5) {
				t.Errorf("group %d, power %g: %.4g, by the range %.4g", g, power, weighted[g], range_[g])
			}
		}
	}
}

// Groups of zeros and of one value: their values are exact, or off by what the grid of scales is.
func TestConstantGroups(t *testing.T) {
	const n, k = 2, 64
	w := make([]float32, n*k)
	for i := range 32 {
		w[32+i], w[64+i] = 0.5, -0.3
	}
	for _, sch := range []quant.WeightScheme{quant.DefaultWeightScheme(), {Bits: 4, Granularity: quant.PerGroup, GroupSize: 32}} {
		for _, method := range weightMethods {
			if method == FitHQQ && sch.Symmetric {
				continue
			}
			cfg := DefaultConfig()
			cfg.WeightMethod = method
			l := layer{Scheme: Scheme{Out: n, In: k, Weight: sch}}
			err := nn.Run(func(c *nn.Context) error {
				return l.fitWeight(c, w, slices.Repeat([]float64{1}, k), eye(c, k), cfg)
			})
			if err != nil {
				t.Fatalf("%v by %s: %v", sch, method, err)
			}
			e, err := errorOf(w, make([]float64, k), l.Scheme, l.params, l.codes)
			if err != nil {
				t.Fatalf("%v by %s: %v", sch, method, err)
			}
			for i, d := range e.residual {
				if w[i] == 0 && d != 0 || math.Abs(float64(d)) > 0.07*math.Abs(float64(w[i])) {
					t.Fatalf("%v by %s: weight %d is %v, off by %v", sch, method, i, w[i], d)
				}
			}
		}
	}
}

// With channels that go together, the search by the form of a group finds what trying all clip ranges finds.
func TestSearchByGram(t *testing.T) {
	const n, k = 4, 64
	r := rand.New(rand.NewPCG(3, 3))
	w, _ := draw(r, n, k)
	h, cfg := gramOf(r, 200, k), DefaultConfig()
	sch := quant.DefaultWeightScheme()
	err := nn.Run(func(c *nn.Context) error {
		form, err := blocks(c, c.FromFloats(floats32(h), k, k), 32)
		if err != nil {
			return err
		}
		best, err := bestQParams(w, slices.Repeat([]float64{1}, k), form, n, k, sch, cfg)
		if err != nil {
			return err
		}
		errorAt := func(p quant.QParams) []float64 {
			y, err := quant.FakeQuantize(w, n, k, p, sch)
			if err != nil {
				t.Fatal(err)
			}
			out := make([]float64, n*k/32)
			for u := range out {
				for i := range 32 {
					for j := range 32 {
						a, b := u*32+i, u*32+j
						out[u] += float64(w[a]-y[a]) * float64(w[b]-y[b]) * float64(form[(u%2*32+i)*32+j])
					}
				}
			}
			return out
		}
		got, p := errorAt(best), quant.QParams{Rows: n, Groups: 2, Scale: make([]float32, n*2)}
		for i := range cfg.GridPoints {
			for u := range p.Scale {
				largest := slices.MaxFunc(w[u*32:u*32+32], func(a, b float32) int { return int(math.Copysign(1, math.Abs(float64(a))-math.Abs(float64(b)))) })
				f := cfg.GridMin + (cfg.GridMax-cfg.GridMin)*float64(i)/float64(cfg.GridPoints-1)
				p.Scale[u] = quant.RoundScale(float32(f * math.Abs(float64(largest)) / 7))
			}
			for u, e := range errorAt(p) {
				if got[u] > e*(1+1e-4) {
					t.Errorf("unit %d: error %g, at scale %v it is %g", u, got[u], p.Scale[u], e)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A product in stripes is the plain one, and a Gram matrix the sum over batches.
func TestGram(t *testing.T) {
	err := nn.Run(func(c *nn.Context) error {
		x := c.Randn(20, 2*stripe+100)
		got, want := Product(c.Scope, x), c.Matmul(c.Transpose(x, 0, 1), x)
		off, err := tensor.Scalar(c.Amax(c.Abs(c.Sub(got, want)), false, 0, 1))
		if err != nil || off > 1e-4 {
			t.Errorf("a product in stripes is off by %v (%v)", off, err)
		}
		g := &Gram{In: 3}
		defer g.Close()
		g.add(c, c.FromFloats([]float32{1, 2, 3}, 1, 3))
		g.add(c, c.FromFloats([]float32{0, 1, 0, 2, 0, 1}, 2, 3))
		sum, err := tensor.Floats(g.mean(c, []float32{1, 1, 2}))
		if want := []float32{5. / 3, 2. / 3, 2.5 / 3, 2. / 3, 5. / 3, 3. / 3, 2.5 / 3, 3. / 3, 10. / 12}; err != nil || g.Rows != 3 {
			t.Errorf("%d rows (%v)", g.Rows, err)
		} else {
			for i := range want {
				if math.Abs(float64(sum[i]-want[i])) > 1e-6 {
					t.Errorf("mean %v, want %v", sum, want)
					break
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fresh is a decoder of two blocks whose gains are not 1.
func fresh(t *testing.T) *nn.Decoder {
	t.Helper()
	d := nn.NewDecoder("m", nn.DecoderConfig{
		Attention: nn.AttentionConfig{Width: 64, Heads: 4, KVHeads: 2, HeadDim: 32, Eps: 1e-6}, Inner: 96, Layers: 2,
		Rotary: nn.Rotary{D: 32, Theta: 10000},
	})
	if err := nn.Init(d, 1, 0.05); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nn.Close(d) })
	return d
}

// Scales move between all the layers of a decoder without changing what it computes.
func TestFoldsKeepTheFunction(t *testing.T) {
	d := fresh(t)
	before := states(t, d)
	r := rand.New(rand.NewPCG(4, 4))
	for _, f := range Folds(d) {
		scale := make([]float32, f.Readers[0].In)
		for i := range scale {
			scale[i] = float32(math.Exp(r.NormFloat64()))
		}
		if f.Writer != nil { // channels of one row have one scale
			rows := f.rows(scale)
			for k, row := range f.Row {
				scale[k] = rows[row]
			}
		}
		if err := f.Apply(scale); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range states(t, d) {
		if math.Abs(float64(v-before[i])) > 2e-5 {
			t.Fatalf("output %d is %v, was %v", i, v, before[i])
		}
	}
}
