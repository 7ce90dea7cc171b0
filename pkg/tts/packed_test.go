package tts_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

const demoTeacher = "../demo/teacher"

// prepared is the checkpoint's talker, fake-quantized.
func prepared(t *testing.T, dir string, cfg qat.Config) *talker.Model {
	t.Helper()
	m, err := talker.Load(dir, talker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if _, err := qat.Prepare(m, cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Activation.Mode == quant.StaticTensor {
		scales := map[string]float32{}
		for i, s := range nn.Slots(m) {
			if _, ok := s.P.(*qat.Linear); ok {
				scales[s.Path] = []float32{1. / 32, 1. / 64}[i%2]
			}
		}
		if err := qat.SetInputScales(m, scales); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// converted is it packed, with our kernels or with the library's dense weights.
func converted(t *testing.T, dir string, cfg qat.Config, kernels bool) *talker.Model {
	t.Helper()
	m := prepared(t, dir, cfg)
	if err := qat.Convert(m); err != nil {
		t.Fatal(err)
	}
	if !kernels {
		qat.KeepDense(m, true)
		return m
	}
	n, left, err := packed.Swap(m, packed.SwapOptions{})
	if err != nil || n == 0 || len(left) > 0 {
		t.Fatalf("%d projections were swapped, %v left, error %v", n, left, err)
	}
	t.Cleanup(func() { packed.Free(m) })
	return m
}

func steppers(t *testing.T, m *talker.Model, library bool) *talker.Steppers {
	t.Helper()
	st, err := m.Steppers(talker.StepperOptions{Library: library})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	if !library && (st.Kernels == "" || st.Formats["int4"]+st.Formats["int8"] == 0) {
		t.Fatalf("kernels %q, formats %v (%v), want native ones for packed weights", st.Kernels, st.Formats, st.Why)
	}
	return st
}

func prompts(t *testing.T, m *talker.Model, n int) []talker.Prompt {
	t.Helper()
	voice := talker.Voice{ID: 1000}
	if len(m.Config.Talker.SpeakerIDs) == 0 {
		voice = talker.Voice{Vector: make([]float32, m.Config.Talker.Hidden)}
		voice.Vector[3] = 0.1
	}
	var out []talker.Prompt
	for i := range n {
		p, err := talker.DecodingRows(m.Config, talker.Request{ID: fmt.Sprint("u", i), Text: []int32{30, 31, 32, 33, 34, 35, 36, 37}[:4-i], Voice: &voice})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

type scheme struct {
	dir    string
	cfg    qat.Config
	frames int // to compare
}

// schemes with float activations: in groups of pkg/int4, symmetric or not, in other ones, and mixed; on a tiny talker whose
// code predictor stays float, and on the demo's, all of it or all but heads.
func schemes() map[string]scheme {
	tiny := filepath.Join(fixture("tiny-f32"), "checkpoint")
	w4a16 := func(change func(*qat.Config)) qat.Config {
		cfg := qat.DefaultConfig()
		cfg.Activation, cfg.Fallback = qat.Config{}.Activation, false
		cfg.Exclude = []string{"talker.text_projection.**"}
		change(&cfg)
		return cfg
	}
	return map[string]scheme{
		"tiny mixed": {tiny, w4a16(func(c *qat.Config) { c.Include = []string{"talker.model.layers.**"} }), 100},
		"tiny asymmetric": {tiny, w4a16(func(c *qat.Config) {
			c.Include, c.Weight.Symmetric = []string{"talker.model.layers.**", "talker.codec_head"}, false
		}), 100},
		"demo g128": {demoTeacher, w4a16(func(c *qat.Config) { c.Weight.GroupSize = 128 }), 100},
		"demo g64":  {demoTeacher, w4a16(func(c *qat.Config) { c.Weight.GroupSize = 64 }), 30},
		"demo int8": {demoTeacher, w4a16(func(c *qat.Config) {
			c.Weight, c.Init = quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, quant.AbsMax
		}), 30},
		"demo per tensor": {demoTeacher, w4a16(func(c *qat.Config) {
			c.Weight = quant.WeightScheme{Bits: 8, Granularity: quant.PerTensor}
		}), 30},
		"demo mixed": {demoTeacher, w4a16(func(c *qat.Config) {
			w8 := quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}
			c.Exclude = append(c.Exclude, "**.down_proj")
			c.Overrides = []qat.Override{{Include: []string{"**.v_proj", "**.o_proj", "talker.codec_head"}, Weight: &w8}}
		}), 40},
		"demo without heads": {demoTeacher, w4a16(func(c *qat.Config) {
			c.Exclude = append(c.Exclude, "talker.codec_head", "talker.code_predictor.lm_head.*")
			c.Embeddings.Bits = 8
		}), 20},
	}
}

// With float activations, the packed talker's native steppers draw the codes that the library's draw with the
// fake-quantized weights: up to 100 frames, greedily, of two prompts at once.
func TestPackedCodes(t *testing.T) {
	for name, s := range schemes() {
		t.Run(name, func(t *testing.T) {
			library, native := converted(t, s.dir, s.cfg, false), converted(t, s.dir, s.cfg, true)
			speak := func(m *talker.Model, st *talker.Steppers) []talker.Speech {
				how := talker.DefaultSampling()
				how.DoSample, how.SubDoSample, how.MinNewTokens, how.MaxNewTokens = false, false, s.frames+1, s.frames+1
				out, err := m.GenerateWith(context.Background(), st.Talker, st.Predictor, prompts(t, m, 2), how)
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			want, got := speak(library, steppers(t, library, true)), speak(native, steppers(t, native, false))
			for i := range want {
				if len(want[i].Codes) != s.frames || !slices.Equal(flat(got[i].Codes), flat(want[i].Codes)) {
					t.Errorf("prompt %d: %d and %d frames; native codes differ from the library's", i, len(got[i].Codes), len(want[i].Codes))
				}
			}
		})
	}
}

// states of a stepper: a padded prompt, steps, sequences that leave and come twice, another prompt of many rows.
func states(c *nn.Context, m *talker.Model, st talker.Stepper) []*ts.Tensor {
	const B, T = 3, 7
	tensor.Seed(4)
	rows := func(n ...int64) *ts.Tensor { return c.MulScalar(c.Randn(append(n, m.Config.Talker.Hidden)...), 0.1) }
	mask := make([]int64, B*T)
	for i := range mask {
		if i != T && i != 2*T && i != 2*T+1 {
			mask[i] = 1
		}
	}
	out := []*ts.Tensor{st.Prefill(c, rows(B, T), mask), st.Step(c, rows(B))}
	st.Keep(c, []int64{2, 0})
	out = append(out, st.Step(c, rows(2)))
	st.Keep(c, []int64{1, 0, 1})
	for range 20 {
		out = append(out, st.Step(c, rows(3)))
	}
	return append(out, st.Prefill(c, rows(1, 40), nil), st.Step(c, rows(1)))
}

// apart is the distance of two tensors, relative to the size of the second.
func apart(t *testing.T, got, want *ts.Tensor) float64 {
	t.Helper()
	g, err := tensor.Floats(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := tensor.Floats(want)
	if err != nil {
		t.Fatal(err)
	}
	d, n := 0.0, 0.0
	for i := range w {
		d += math.Pow(float64(g[i]-w[i]), 2)
		n += math.Pow(float64(w[i]), 2)
	}
	return math.Sqrt(d / n)
}

// Prefill, padding, batches and Keep: states of talker and code predictor are the library's.
func TestPackedStates(t *testing.T) {
	for name, s := range schemes() {
		library, native := converted(t, s.dir, s.cfg, false), converted(t, s.dir, s.cfg, true)
		a, b := steppers(t, library, true), steppers(t, native, false)
		err := nn.Run(func(c *nn.Context) error {
			want := append(states(c, library, a.Talker), states(c, library, a.Predictor)...)
			got := append(states(c, native, b.Talker), states(c, native, b.Predictor)...)
			for i := range want {
				if off := apart(t, got[i], want[i]); !(off < 1e-5) {
					t.Errorf("%s: state %d is off by %.2g of its size", name, i, off)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// With quantized activations, native steppers compute the integer layer (pkg/quant): the logits are those of the
// library's integer forward pass. On some machine, rounding in norms and attention may put an activation on the other side
// of a code's edge, which changes logits by some 1e-4, and more where codes have 4 bits; such states are few.
func TestPackedIntegerLogits(t *testing.T) {
	w8 := quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}
	mixed := []qat.Override{{Include: []string{"**.v_proj", "**.o_proj", "talker.codec_head"}, Weight: &w8}}
	for name, change := range map[string]func(*qat.Config){
		"w4a8":         func(c *qat.Config) {},
		"w4a8 static":  func(c *qat.Config) { c.Activation.Mode = quant.StaticTensor },
		"w8a8":         func(c *qat.Config) { c.Weight, c.Init = w8, quant.AbsMax },
		"mixed static": func(c *qat.Config) { c.Overrides, c.Activation.Mode = mixed, quant.StaticTensor },
		"w4a4":         func(c *qat.Config) { c.Activation.Bits = 4 },
		"w4a4 g64":     func(c *qat.Config) { c.Activation.Bits, c.Weight.GroupSize = 4, 64 },
	} {
		t.Run(name, func(t *testing.T) { integerLogits(t, change) })
	}
}

func integerLogits(t *testing.T, change func(*qat.Config)) {
	t.Helper()
	cfg := qat.DefaultConfig()
	cfg.IntegerForward = true
	cfg.Exclude = []string{"talker.text_projection.**"}
	change(&cfg)
	library, native := prepared(t, demoTeacher, cfg), converted(t, demoTeacher, cfg, true)
	a, b := steppers(t, library, true), steppers(t, native, false)
	err := nn.Run(func(c *nn.Context) error {
		want, got := states(c, library, a.Talker), states(c, native, b.Talker)
		equal := 0
		for i := range want {
			off := apart(t, native.CodecHead.Forward(c, got[i]), library.CodecHead.Forward(c, want[i]))
			if !(off < 1e-2) {
				t.Errorf("logits %d are off by %.2g of their size", i, off)
			}
			if off < 1e-5 {
				equal++
			}
		}
		if 4*equal < 3*len(want) {
			t.Errorf("logits of %d of %d states are equal within 1e-5, want most", equal, len(want))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Packed layers that nobody gave kernels are decoded by the library, and the steppers say which layer it is.
func TestPackedWithoutKernels(t *testing.T) {
	m := prepared(t, demoTeacher, qat.DefaultConfig())
	if err := qat.Convert(m); err != nil {
		t.Fatal(err)
	}
	st, err := m.Steppers(talker.StepperOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if st.Kernels != "" || st.Why == nil || !strings.Contains(st.Why.Error(), "is a *qat.Packed") {
		t.Errorf("kernels %q because of %v, want the library's because of a packed layer", st.Kernels, st.Why)
	}
}

// A mixed talker says how many of its matrices are whose.
func TestMixedFormats(t *testing.T) {
	s := schemes()["demo mixed"]
	st := steppers(t, converted(t, s.dir, s.cfg, true), false)
	if text := st.String(); st.Formats["int4"] == 0 || st.Formats["int8"] == 0 ||
		!strings.Contains(text, fmt.Sprintf("%d matrices in int4, %d matrices in int8", st.Formats["int4"], st.Formats["int8"])) {
		t.Errorf("%q of %v, want both counts", text, st.Formats)
	}
}
