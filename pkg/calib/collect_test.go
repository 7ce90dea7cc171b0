package calib_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/nn"
)

const width, inner = 64, 96

// batch is an input [b, t, width] whose rows with mask 0 are padding.
type batch struct {
	x    []float32
	mask []int64
	b, t int
}

// inputs are correlated channels of very different size, as the input of a projection has.
func inputs(seed uint64, b, t int) batch {
	r := rand.New(rand.NewPCG(seed, 20))
	mix := rand.New(rand.NewPCG(99, 21)) // one mixing matrix for all batches
	const rank = 6
	basis := make([]float64, rank*width)
	for i := range basis {
		basis[i] = mix.NormFloat64() * math.Exp(2*mix.NormFloat64())
	}
	out := batch{x: make([]float32, b*t*width), mask: make([]int64, b*t), b: b, t: t}
	for row := range b * t {
		out.mask[row] = 1
		for f := range rank {
			z := r.NormFloat64()
			for k := range width {
				out.x[row*width+k] += float32(z * basis[f*width+k])
			}
		}
		for k := range width {
			out.x[row*width+k] += float32(0.05 * r.NormFloat64())
		}
	}
	return out
}

func load(t *testing.T) *nn.MLP {
	t.Helper()
	m := nn.NewMLP("model.mlp", width, inner)
	if err := nn.Init(m, 1, 0.05); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nn.Close(m) })
	for _, p := range nn.Params(m) { // the inputs have large outliers: small weights keep the products in range
		err := nn.Run(func(c *nn.Context) error {
			p.Set(c.Release(c.MulScalar(p.T, 0.05*math.Sqrt(float64(p.Shape[1])))))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func forward(m *nn.MLP) func(p *calib.Pass, b batch) error {
	return func(p *calib.Pass, b batch) error {
		p.Keep(b.mask, b.b, b.t)
		m.Forward(p.Context, p.FromFloats(b.x, int64(b.b), int64(b.t), width))
		return nil
	}
}

func each(batches ...batch) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		for _, b := range batches {
			if !yield(b, nil) {
				return
			}
		}
	}
}

func config() calib.Config {
	cfg := calib.DefaultConfig()
	cfg.MinTokens = 1
	return cfg
}

func collect(t *testing.T, m *nn.MLP, cfg calib.Config, batches ...batch) *calib.Statistics {
	t.Helper()
	s, err := calib.Collect(context.Background(), nn.Slots(m), each(batches...), forward(m), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Statistics against loops over the same numbers; the layer's input is what the slot says, not what came before.
func TestCollect(t *testing.T) {
	m := load(t)
	a, b := inputs(1, 2, 7), inputs(2, 3, 5)
	s := collect(t, m, config(), a, b)
	all := slices.Concat(a.x, b.x)
	squares := make([]float64, width)
	for i, v := range all {
		squares[i%width] += float64(v) * float64(v)
	}
	for _, name := range []string{"gate_proj", "up_proj"} {
		l := s.Layer("model.mlp." + name)
		if l.Tokens != 29 || l.Values.N() != 29*width || l.Range.Min != slices.Min(all) || l.Range.Max != slices.Max(all) {
			t.Errorf("%s: %d tokens, %d values, range %+v; want 29 tokens in %v...%v", name, l.Tokens, l.Values.N(), l.Range, slices.Min(all), slices.Max(all))
		}
		for k, h := range l.SecondMoment() {
			if want := squares[k] / 29; math.Abs(h-want) > 1e-9*want {
				t.Errorf("%s: second moment of channel %d is %v, want %v", name, k, h, want)
			}
		}
	}
	if l := s.Layer("model.mlp.down_proj"); l.Tokens != 29 || l.Values.N() != 29*inner || l.In != inner {
		t.Errorf("down_proj: %d tokens, %d values", l.Tokens, l.Values.N())
	}
	if s.Batches != 2 || s.Layer("elsewhere") != nil {
		t.Errorf("%d batches, want 2; a layer that is not there: %v", s.Batches, s.Layer("elsewhere"))
	}
}

// Padding changes nothing, whatever is in it.
func TestPaddingIsNotCounted(t *testing.T) {
	m := load(t)
	plain := inputs(3, 4, 5)
	padded := batch{b: 4, t: 9}
	for r := range 4 {
		for at := range 9 {
			row, real := slices.Repeat([]float32{1e6}, width), int64(0)
			if at < 5 {
				row, real = plain.x[(r*5+at)*width:][:width], 1
			}
			padded.x, padded.mask = append(padded.x, row...), append(padded.mask, real)
		}
	}
	want, got := collect(t, m, config(), plain), collect(t, m, config(), padded)
	for i, l := range want.Layers {
		g := got.Layers[i]
		if l.In == width && !reflect.DeepEqual(l, g) {
			t.Errorf("%s: %d tokens, %+v with padding, %d, %+v without", l.Path, g.Tokens, g.Range, l.Tokens, l.Range)
		}
		if g.Tokens != 20 || g.Range.Max > 1e6 {
			t.Errorf("%s: %d tokens up to %v, want 20 without the padding", l.Path, g.Tokens, g.Range.Max)
		}
	}
	unmasked := collect(t, m, config(), batch{padded.x, slices.Repeat([]int64{1}, 36), 4, 9})
	if unmasked.Layers[0].Tokens != 36 || unmasked.Layers[0].Range.Max != 1e6 {
		t.Errorf("without a mask %+v, want the padding to show", unmasked.Layers[0].Range)
	}
}

// A mask that is in force does not silently pass rows of another shape; after KeepAll all rows count.
func TestMaskAndShape(t *testing.T) {
	m := load(t)
	in := inputs(4, 2, 3)
	in.mask[5] = 0
	run := func(keepAll bool) (*calib.Statistics, error) {
		return calib.Collect(context.Background(), nn.Slots(m)[:1], each(in), func(p *calib.Pass, b batch) error {
			p.Keep(b.mask, b.b, b.t)
			if keepAll {
				p.KeepAll()
			}
			m.Forward(p.Context, p.FromFloats(b.x, 6, width))
			return nil
		}, config())
	}
	if _, err := run(false); err == nil || !strings.Contains(err.Error(), "gate_proj") || !strings.Contains(err.Error(), "[6 64]") {
		t.Errorf("error %v, want one that names the layer and the shape", err)
	}
	if s, err := run(true); err != nil || s.Layers[0].Tokens != 6 {
		t.Errorf("after KeepAll: %v, want 6 tokens", err)
	}
	bad := func(p *calib.Pass, b batch) error { p.Keep(b.mask[:4], b.b, b.t); return nil }
	if _, err := calib.Collect(context.Background(), nn.Slots(m), each(in), bad, config()); err == nil || !strings.Contains(err.Error(), "mask of 4 rows") {
		t.Errorf("error %v, want one about the mask", err)
	}
}

// What a quantized layer multiplies is the transformed input, so that is what is watched.
func TestTransformedInput(t *testing.T) {
	m := load(t)
	rotate := nn.Hadamard{Block: width}
	m.GateUp[1].Transform = rotate
	in := inputs(5, 1, 8)
	s := collect(t, m, config(), in)
	var want []float32
	err := nn.Run(func(c *nn.Context) error {
		y := rotate.Apply(c, c.FromFloats(in.x, 8, width))
		var err error
		want, err = tensor.Floats(c.MeanDim(c.Square(y), false, 0))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for k, h := range s.Layer("model.mlp.up_proj").SecondMoment() {
		if math.Abs(h-float64(want[k])) > 1e-4*h+1e-6 {
			t.Fatalf("second moment %d is %v, want %v of the rotated input", k, h, want[k])
		}
	}
	if reflect.DeepEqual(s.Layers[0].SecondMoment(), s.Layers[1].SecondMoment()) {
		t.Error("gate_proj has no transform, but the same moments")
	}
}

func TestCollectErrors(t *testing.T) {
	m := load(t)
	good := inputs(6, 2, 4)
	nan := inputs(6, 2, 4)
	nan.x[3*width+5] = float32(math.NaN())
	masked := nan
	masked.mask = slices.Clone(nan.mask)
	masked.mask[3] = 0
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	skipDown := func(p *calib.Pass, b batch) error {
		m.GateUp.Forward(p.Context, p.FromFloats(b.x, int64(b.b*b.t), width))
		return nil
	}
	few := config()
	few.MinTokens = 9
	twice := append(nn.Slots(m), nn.Slots(m)[0])
	for name, c := range map[string]struct {
		ctx     context.Context
		slots   []*nn.Slot
		data    iter.Seq2[batch, error]
		forward func(*calib.Pass, batch) error
		cfg     calib.Config
		want    []string
	}{
		"no data":      {want: []string{"no calibration data"}, data: each()},
		"no layer":     {want: []string{"no layer"}, slots: []*nn.Slot{}},
		"twice":        {want: []string{"gate_proj", "twice"}, slots: twice},
		"unseen layer": {want: []string{"1 of 3 layers", "model.mlp.down_proj (0)"}, forward: skipDown},
		"few tokens":   {want: []string{"3 of 3 layers", "fewer than 9", "gate_proj (8)", "up_proj (8)", "down_proj (8)"}, cfg: few},
		"nan":          {want: []string{"batch 1", "model.mlp.gate_proj", "row 3, channel 5", "NaN"}, data: each(nan)},
		"ended":        {want: []string{"context canceled"}, ctx: ended},
		"bad config":   {want: []string{"min_tokens 0", "observer \"\""}, cfg: calib.Config{GridPoints: 1}},
		"data error": {want: []string{"batch 2", "disk on fire"}, data: func(yield func(batch, error) bool) {
			_ = yield(good, nil) && yield(batch{}, errors.New("disk on fire"))
		}},
		"shape": {want: []string{"model.mlp.gate_proj", "[8 32]"}, forward: func(p *calib.Pass, b batch) error {
			m.GateUp[0].Forward(p.Context, p.FromFloats(b.x[:8*32], 8, 32))
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ctx == nil {
				c.ctx = context.Background()
			}
			if c.slots == nil {
				c.slots = nn.Slots(m)
			}
			if c.data == nil {
				c.data = each(good)
			}
			if c.forward == nil {
				c.forward = forward(m)
			}
			if c.cfg == (calib.Config{}) {
				c.cfg = config()
			}
			_, err := calib.Collect(c.ctx, c.slots, c.data, c.forward, c.cfg)
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("error %v, want one with %q", err, w)
				}
			}
		})
	}
	if s := collect(t, m, config(), masked); s.Layers[0].Tokens != 7 {
		t.Errorf("%d tokens, want 7: a NaN in the padding is no error", s.Layers[0].Tokens)
	}
}
