package quant_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
	"pgregory.net/rapid"
)

var (
	tensor4  = quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerTensor}
	channel4 = quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerChannel}
	asym4    = quant.WeightScheme{Bits: 4, Granularity: quant.PerChannel}
)

// Numbers by hand: scale 0.5, ties to even, clamped codes.
func TestQuantizeByHand(t *testing.T) {
	w := []float32{0, 0.25, -0.25, 0.75, -0.75, 3.7, 3.8, -4.2, -4.3, 100, -100}
	p := quant.QParams{Rows: 1, Groups: 1, Scale: []float32{0.5}}
	q, err := quant.Quantize(w, 1, 11, p, tensor4)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int16{0, 0, 0, 2, -2, 7, 7, -8, -8, 7, -8}; !slices.Equal(q, want) {
		t.Errorf("codes %v, want %v", q, want)
	}
	p.ZeroPoint = []int32{3}
	if q, err = quant.Quantize(w, 1, 11, p, quant.WeightScheme{Bits: 4, Granularity: quant.PerTensor}); err != nil {
		t.Fatal(err)
	}
	if want := []int16{3, 3, 3, 5, 1, 10, 11, 0, 0, 15, 0}; !slices.Equal(q, want) {
		t.Errorf("asymmetric codes %v, want %v", q, want)
	}
	y, err := quant.Dequantize(q, 1, 11, p, quant.WeightScheme{Bits: 4, Granularity: quant.PerTensor})
	if want := []float32{0, 0, 0, 1, -1, 3.5, 4, -1.5, -1.5, 6, -1.5}; err != nil || !slices.Equal(y, want) {
		t.Errorf("values %v, want %v (%v)", y, want, err)
	}
}

// w/s, not w*(1/s): 0.0625 * 1.5 = a tie that the product with the reciprocal misses for some scales.
func TestQuantizeDivides(t *testing.T) {
	var differ int
	for _, s := range grid() {
		for m := float32(0.5); m < 7; m++ {
			w := m * s // exact: at most 12 bits
			q, err := quant.Quantize([]float32{w}, 1, 1, quant.QParams{Rows: 1, Groups: 1, Scale: []float32{s}}, tensor4)
			if err != nil {
				t.Fatal(err)
			}
			if want := int16(math.RoundToEven(float64(m))); q[0] != want {
				t.Fatalf("code of %v at scale %v is %d, want %d", w, s, q[0], want)
			}
			if math.RoundToEven(float64(w*(1/s))) != float64(q[0]) {
				differ++
			}
		}
	}
	if differ == 0 {
		t.Error("no tie tells the division from the product: the test has lost its point")
	}
}

func TestInitQParamsByHand(t *testing.T) {
	for _, c := range []struct {
		name   string
		w      []float32
		sch    quant.WeightScheme
		method quant.ScaleMethod
		scale  float32
		zero   int32
	}{
		{"absmax", []float32{-7, 3}, channel4, quant.AbsMax, 1, 0},
		{"half", []float32{-7.5, 3}, channel4, quant.AbsMaxHalf, 1, 0},
		{"signed, negative larger", []float32{-8, 7}, channel4, quant.SignedMax, 1, 0},
		{"signed, positive larger", []float32{-7, 14}, channel4, quant.SignedMax, 2, 0},
		{"signed, equal magnitudes", []float32{-7, 7}, channel4, quant.SignedMax, 1, 0},
		{"rounded to 8 bits", []float32{0, 7 * 1.005}, channel4, quant.AbsMax, 1.0078125, 0},
		{"zeros", []float32{0, 0}, channel4, quant.AbsMax, quant.ScaleMin, 0},
		{"int8", []float32{-127, 3}, quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, quant.AbsMax, 1, 0},
		{"min-max", []float32{-5, 10}, asym4, quant.MinMax, 1, 5},
		{"min-max, all positive", []float32{10, 15}, asym4, quant.MinMax, 1, 0},
		{"min-max, all negative", []float32{-30, -3}, asym4, quant.MinMax, 2, 15},
		{"min-max, zeros", []float32{0, 0}, asym4, quant.MinMax, quant.ScaleMin, 0},
	} {
		p, err := quant.InitQParams(c.w, 1, 2, c.sch, c.method)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if p.Scale[0] != c.scale || !c.sch.Symmetric && p.ZeroPoint[0] != c.zero {
			t.Errorf("%s: scale %v zero %v, want %v, %d", c.name, p.Scale, p.ZeroPoint, c.scale, c.zero)
		}
	}
}

// An outlier row or group leaves the others alone.
func TestInitQParamsPerRowAndGroup(t *testing.T) {
	w := make([]float32, 2*64)
	for i := range w {
		w[i] = 0.7
	}
	w[40] = 70 // row 0, group 1
	p, err := quant.InitQParams(w, 2, 64, quant.DefaultWeightScheme(), quant.AbsMax)
	if err != nil {
		t.Fatal(err)
	}
	small := quant.RoundScale(float32(0.7) / 7)
	if want := []float32{small, 10, small, small}; !slices.Equal(p.Scale, want) {
		t.Errorf("scales %v, want %v", p.Scale, want)
	}
}

func TestQuantizeErrors(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	one := quant.QParams{Rows: 2, Groups: 1, Scale: []float32{1, 1}}
	init := func(w []float32, sch quant.WeightScheme, m quant.ScaleMethod) error {
		_, err := quant.InitQParams(w, 2, 2, sch, m)
		return err
	}
	quantize := func(w []float32, p quant.QParams, sch quant.WeightScheme) error {
		_, err := quant.Quantize(w, 2, 2, p, sch)
		return err
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{init([]float32{0, 0, 0, nan}, channel4, quant.AbsMax), "weight [1, 1] is NaN"},
		{init([]float32{0, inf, 0, 0}, channel4, quant.AbsMax), "weight [0, 1] is -Inf"},
		{init([]float32{0, 0, 0, 0}, channel4, quant.MinMax), "scale method min_max with scheme int4 sym channel"},
		{init([]float32{0, 0, 0, 0}, quant.DefaultWeightScheme(), quant.AbsMax), "group_size 32 does not divide in_features 2"},
		{init([]float32{0, 0, 0}, channel4, quant.AbsMax), "3 values for a weight [2, 2]"},
		{quantize([]float32{0, 0, nan, 0}, one, channel4), "weight [1, 0] is NaN"},
		{quantize(make([]float32, 4), quant.QParams{Rows: 2, Groups: 1, Scale: []float32{1, 1.001}}, channel4), "scale [1, 0] is 1.001, not on the scale grid"},
		{quantize(make([]float32, 4), quant.QParams{Rows: 1, Groups: 1, Scale: []float32{1}}, channel4), "scales [1, 1] (1 values), want [2, 1]"},
		{quantize(make([]float32, 4), one, asym4), "0 zero points for 2 scales"},
		{quantize(make([]float32, 4), quant.QParams{Rows: 2, Groups: 1, Scale: []float32{1, 1}, ZeroPoint: []int32{0, 16}}, asym4), "zero point [1, 0] is 16, want 0...15"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("error %v, want %q", c.err, c.want)
		}
	}
}

// draw makes a scheme, a weight and scales for it, some of them too small so that codes clip.
func draw(t *rapid.T) (w []float32, n, k int64, p quant.QParams, sch quant.WeightScheme) {
	sch = quant.WeightScheme{
		Bits:        rapid.SampledFrom([]int{4, 8}).Draw(t, "bits"),
		Symmetric:   rapid.Bool().Draw(t, "symmetric"),
		Granularity: rapid.SampledFrom([]quant.Granularity{quant.PerTensor, quant.PerChannel, quant.PerGroup}).Draw(t, "granularity"),
	}
	n, k = rapid.Int64Range(1, 9).Draw(t, "n"), rapid.Int64Range(1, 70).Draw(t, "k")
	if sch.Granularity == quant.PerGroup {
		sch.GroupSize = 32
		k = 32 * rapid.Int64Range(1, 3).Draw(t, "groups")
	}
	w = make([]float32, n*k)
	amp := rapid.SampledFrom([]float32{0, 1e-3, 1, 300}).Draw(t, "amplitude")
	for i := range w {
		w[i] = amp * rapid.Float32Range(-1, 1).Draw(t, "w")
	}
	method := quant.MinMax
	if sch.Symmetric {
		method = rapid.SampledFrom([]quant.ScaleMethod{quant.AbsMax, quant.AbsMaxHalf, quant.SignedMax}).Draw(t, "method")
	}
	p, err := quant.InitQParams(w, n, k, sch, method)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Scale {
		if rapid.IntRange(0, 3).Draw(t, "shrink") == 0 {
			p.Scale[i] = quant.RoundScale(p.Scale[i] * 0.6)
		}
	}
	return w, n, k, p, sch
}

func TestFakeQuantizeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, n, k, p, sch := draw(t)
		y, err := quant.FakeQuantize(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		again, err := quant.FakeQuantize(y, n, k, p, sch)
		if err != nil || !slices.Equal(again, y) {
			t.Fatalf("not idempotent (%v)", err)
		}
		width := int64(len(w)) / int64(len(p.Scale))
		for i := range w {
			s, z := p.Scale[int64(i)/width], int32(0)
			if !sch.Symmetric {
				z = p.ZeroPoint[int64(i)/width]
			}
			lo, hi := float32(sch.QMin()-z)*s, float32(sch.QMax()-z)*s
			if w[i] >= lo && w[i] <= hi && math.Abs(float64(y[i])-float64(w[i])) > float64(s)/2*(1+1e-5) {
				t.Fatalf("|%v - %v| > scale %v / 2", y[i], w[i], s)
			}
			if y[i] < lo || y[i] > hi {
				t.Fatalf("value %v outside %v...%v", y[i], lo, hi)
			}
		}
	})
}

// fake(-w) = -fake(w) for symmetric schemes, except where the lone code -8 (-128) takes part.
func TestSymmetricIsOdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, n, k, p, sch := draw(t)
		if !sch.Symmetric {
			t.Skip("asymmetric")
		}
		neg := make([]float32, len(w))
		for i, v := range w {
			neg[i] = -v
		}
		a, err := quant.Quantize(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		b, err := quant.Quantize(neg, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a {
			if a[i] != -b[i] && int32(min(a[i], b[i])) != sch.QMin() {
				t.Fatalf("codes of %v and %v are %d and %d", w[i], neg[i], a[i], b[i])
			}
		}
	})
}

func TestTokens(t *testing.T) {
	int8s, int4s := quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}, quant.ActivationScheme{Bits: 4, Mode: quant.DynamicToken}
	for _, c := range []struct {
		x     []float32
		a     quant.ActivationScheme
		scale float32
		q     []int16
	}{
		{[]float32{127, -63.5, 0.5, 1.5}, int8s, 1, []int16{127, -64, 0, 2}},
		{[]float32{-254, 1}, int8s, 2, []int16{-127, 0}},
		{[]float32{0, 0}, int8s, 0x1p-126, []int16{0, 0}},
		{[]float32{-14, 7, 3}, int4s, 2, []int16{-7, 4, 2}},
	} {
		q, s, err := quant.QuantizeToken(c.x, c.a)
		if err != nil || s != c.scale || !slices.Equal(q, c.q) {
			t.Errorf("%v: codes %v scale %v (%v), want %v, %v", c.x, q, s, err, c.q, c.scale)
		}
	}
	if _, _, err := quant.QuantizeToken([]float32{1, float32(math.NaN())}, int8s); err == nil || !strings.Contains(err.Error(), "activation 1 is NaN") {
		t.Errorf("NaN: %v", err)
	}
	if _, _, err := quant.QuantizeToken([]float32{1}, quant.ActivationScheme{}); err == nil {
		t.Error("mode none has codes")
	}
	static := quant.ActivationScheme{Bits: 4, Mode: quant.StaticTensor}
	if q, err := quant.QuantizeStatic([]float32{-9, 1.25, 9}, 0.5, static); err != nil || !slices.Equal(q, []int16{-8, 2, 7}) {
		t.Errorf("static codes %v, %v", q, err)
	}
	if _, err := quant.QuantizeStatic([]float32{1}, 0.1, static); err == nil {
		t.Error("a static scale off the grid is no error")
	}
}

func gaussian(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	return w
}
