package talker

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func nativeSteppers(t *testing.T, m *Model, o StepperOptions) *Steppers {
	t.Helper()
	st, err := m.Steppers(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	if st.Kernels == "" || st.Why != nil {
		t.Fatalf("kernels %q (%v), want native ones", st.Kernels, st.Why)
	}
	return st
}

// Every set of kernels decodes the reference's codes in every mode.
func TestNativeGreedyDecoding(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-sharded"} {
		m := loadFixture(t, fixture)
		g := openGoldens(t, fixture, "generate.safetensors")
		for _, kernels := range native.Kernels() {
			st := nativeSteppers(t, m, StepperOptions{Kernels: kernels})
			for name, mode := range generationModes(t, fixture) {
				t.Run(fixture+"/"+kernels+"/"+name, func(t *testing.T) { greedy(t, m, g, name, mode, st.Talker, st.Predictor) })
			}
		}
	}
}

// both calls f with the same rows on libtorch's steppers and native ones, and compares the states that it returns.
func both(t *testing.T, m *Model, o StepperOptions, tol float64, f func(c *nn.Context, st *Steppers) []*ts.Tensor) {
	t.Helper()
	library, err := m.Steppers(StepperOptions{Library: true})
	if err != nil {
		t.Fatal(err)
	}
	defer library.Close()
	if library.Kernels != "" || library.Why == nil {
		t.Errorf("kernels %q (%v), want libtorch's", library.Kernels, library.Why)
	}
	st := nativeSteppers(t, m, o)
	run(t, func(c *nn.Context) error {
		want := f(c, library)
		for i, got := range f(c, st) {
			wantClose(t, fmt.Sprintf("state %d", i), got, want[i], tol)
		}
		return nil
	})
}

// States are libtorch's in float32: prompts with padding, steps, sequences that leave, change places and come twice.
func TestNativeStates(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-bf16", "tiny-sharded"} {
		m := loadFixture(t, fixture)
		for i, kernels := range native.Kernels() {
			for _, padded := range []bool{false, true} {
				t.Run(fmt.Sprint(fixture, "/", kernels, "/", padded), func(t *testing.T) {
					both(t, m, StepperOptions{Kernels: kernels, Threads: 1 + i%2}, 1e-5, func(c *nn.Context, st *Steppers) []*ts.Tensor {
						return journey(c, m, st.Talker, padded)
					})
				})
			}
		}
	}
}

func journey(c *nn.Context, m *Model, st Stepper, padded bool) []*ts.Tensor {
	const B, T = 3, 11
	var mask []int64
	if padded {
		mask = filled(B*T, 1)
		copy(mask[T:], []int64{0, 0, 0})
		copy(mask[2*T:], make([]int64, T-1))
	}
	tensor.Seed(2)
	rows := func(n ...int64) *ts.Tensor { return c.Randn(append(n, m.Config.Talker.Hidden)...) }
	out := []*ts.Tensor{st.Prefill(c, rows(B, T), mask), st.Step(c, rows(B)), st.Step(c, rows(B))}
	st.Keep(c, []int64{2, 0})
	out = append(out, st.Step(c, rows(2)))
	st.Keep(c, []int64{1, 0, 1})
	for range 70 { // beyond the room that a cache begins with
		out = append(out, st.Step(c, rows(3)))
	}
	return append(out, st.Prefill(c, rows(1, 4), nil), st.Step(c, rows(1)))
}

// The code predictor's states are libtorch's too, row by row, with an adapter and without.
func TestNativePredictorStates(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-bf16"} {
		m := loadFixture(t, fixture)
		both(t, m, StepperOptions{}, 1e-5, func(c *nn.Context, st *Steppers) []*ts.Tensor {
			tensor.Seed(3)
			H := m.Config.Talker.Hidden
			out := []*ts.Tensor{st.Predictor.Prefill(c, c.Randn(2, 2, H), nil)}
			for range m.Config.Groups() - 2 {
				out = append(out, st.Predictor.Step(c, c.Randn(2, H)))
			}
			return out
		})
	}
}

// 200 frames, greedy and drawn with every kind of setting, are libtorch's code for code.
func TestNativeCodes(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	st := nativeSteppers(t, m, StepperOptions{})
	for name, change := range map[string]func(*Sampling){
		"greedy": func(s *Sampling) { s.DoSample, s.SubDoSample = false, false },
		"top k":  func(s *Sampling) {},
		"top p":  func(s *Sampling) { s.SubTopK, s.SubTopP, s.SubTemperature = 0, 0.8, 1.3 },
		"both":   func(s *Sampling) { s.SubTopK, s.SubTopP = 7, 0.6 },
		"all":    func(s *Sampling) { s.SubTopK = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			s := DefaultSampling()
			s.MinNewTokens, s.MaxNewTokens, s.Seed = 41, 41, 5
			if change(&s); s.SubTopK == 50 { // as published
				s.MinNewTokens, s.MaxNewTokens = 201, 201
			}
			prompts := sampledPrompts(t, m, 2)
			want, err := m.Generate(context.Background(), prompts, s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.GenerateWith(context.Background(), st.Talker, st.Predictor, prompts, s)
			if err != nil {
				t.Fatal(err)
			}
			if len(want[0].Codes) != s.MaxNewTokens-1 || !reflect.DeepEqual(got, want) {
				t.Errorf("%d and %d frames; native codes differ from libtorch's", len(got[0].Codes), len(want[0].Codes))
			}
		})
	}
}

// wide is a model whose matrices can be packed: widths that are multiples of 128. Its weights are bf16 numbers.
func wide(t *testing.T) *Model {
	t.Helper()
	cfg, err := ParseConfig(edited(t, "tiny-sharded", map[string]any{
		"talker_config.hidden_size": 256, "talker_config.intermediate_size": 384, "talker_config.num_attention_heads": 8,
		"talker_config.code_predictor_config.hidden_size": 128, "talker_config.code_predictor_config.intermediate_size": 256,
		"talker_config.code_predictor_config.num_attention_heads": 4,
	}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := nn.Init(m, 4, 0.05); err != nil {
		t.Fatal(err)
	}
	cast(t, m, gotch.BFloat16)
	cast(t, m, gotch.Float)
	return m
}

func cast(t *testing.T, m *Model, d gotch.DType) {
	t.Helper()
	run(t, func(c *nn.Context) error {
		for _, p := range nn.Params(m) {
			p.Set(c.Release(c.To(p.T, d)))
		}
		return nil
	})
	m.DType = d
}

// With bf16 weights, packed or not, native states are those of a float32 model with the same weights, but for the keys,
// values and activations that are rounded.
func TestNativeBF16(t *testing.T) {
	m := wide(t)
	states := func(o StepperOptions) (out []*ts.Tensor) {
		st := nativeSteppers(t, m, o)
		if (st.Packed > 0) != (o.Pack && strings.HasPrefix(st.Kernels, "avx512")) {
			t.Errorf("%s kernels packed %d bytes; asked to pack: %v", st.Kernels, st.Packed, o.Pack)
		}
		run(t, func(c *nn.Context) error {
			for _, h := range journey(c, m, st.Talker, true) {
				out = append(out, c.Release(h))
			}
			return nil
		})
		return out
	}
	want := states(StepperOptions{})
	cast(t, m, gotch.BFloat16)
	for _, o := range []StepperOptions{{}, {Pack: true}, {Pack: true, Threads: 2}} {
		for i, got := range states(o) {
			wantClose(t, fmt.Sprintf("%+v: state %d", o, i), got, want[i], 1e-2)
		}
	}
	m.DType = gotch.Float // keys and values too: only the weights are bf16, and these are the same
	for _, kernels := range native.Kernels() {
		if kernels == "avx512bf16" { // rounds the activations of prompts
			continue
		}
		for i, got := range states(StepperOptions{Kernels: kernels, Pack: true}) {
			wantClose(t, fmt.Sprintf("%s: state %d", kernels, i), got, want[i], 1e-5)
		}
	}
}

// What native steppers refuse, in one line each.
func TestNativeRefusals(t *testing.T) {
	m := loadFixture(t, "tiny-f32")
	if _, err := m.Steppers(StepperOptions{Kernels: "mmx"}); err == nil || !strings.Contains(err.Error(), `kernels "mmx", want one of portable`) {
		t.Errorf("error %v, want the kernels that there are", err)
	}
	if _, err := m.Steppers(StepperOptions{Threads: -1}); err == nil || !strings.Contains(err.Error(), "-1 threads, want 1 to") {
		t.Errorf("error %v, want a range", err)
	}
	st := nativeSteppers(t, m, StepperOptions{})
	H := m.Config.Talker.Hidden
	for name, f := range map[string]func(c *nn.Context){
		"padding on the left only": func(c *nn.Context) { st.Talker.Prefill(c, c.Randn(1, 3, H), []int64{1, 1, 0}) },
		"no sequence is under way": func(c *nn.Context) { st.Talker.Step(c, c.Randn(1, H)) },
		"values to":                func(c *nn.Context) { st.Talker.Prefill(c, c.Randn(1, 3, H+1), nil) },
		"cannot be watched": func(c *nn.Context) {
			c.Input = func(string, *ts.Tensor) {}
			st.Talker.Prefill(c, c.Randn(1, 3, H), nil)
		},
		"sequence 2 of 1": func(c *nn.Context) {
			st.Talker.Prefill(c, c.Randn(1, 3, H), nil)
			st.Talker.Keep(c, []int64{2})
		},
		"codec_head.weight has been replaced": func(c *nn.Context) {
			st.Talker.Prefill(c, c.Randn(1, 3, H), nil)
			w := m.CodecHead.P.(*nn.Linear).W
			w.Set(c.Release(c.Clone(w.T)))
			st.Talker.Step(c, c.Randn(1, H))
		},
	} {
		st.Talker.Close()
		err := nn.Run(func(c *nn.Context) error { f(c); return nil })
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, name)
		}
	}
	closed := nativeSteppers(t, m, StepperOptions{})
	closed.Close()
	for name, f := range map[string]func(c *nn.Context){
		"have been closed": func(c *nn.Context) { closed.Talker.Prefill(c, c.Randn(1, 3, H), nil) },
		"used after Close": func(c *nn.Context) { closed.Talker.Step(c, c.Randn(1, H)) },
	} {
		if err := nn.Run(func(c *nn.Context) error { f(c); return nil }); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
	run(t, func(c *nn.Context) error { // the new weight is taken by the next prompt
		st.Talker.Prefill(c, c.Randn(1, 3, H), nil)
		st.Talker.Step(c, c.Randn(1, H))
		return nil
	})
}

// A model that native kernels do not read is decoded by libtorch, and the result says why.
func TestNativeFallback(t *testing.T) {
	m := loadFixture(t, "tiny-f32")
	slot := m.Predictor.Decoder.Blocks[0].MLP.Down
	slot.P = struct{ nn.Projection }{slot.P}
	st, err := m.Steppers(StepperOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if st.Kernels != "" || st.Why == nil || !strings.Contains(st.Why.Error(), slot.Path) {
		t.Errorf("kernels %q because of %v, want none because of %s", st.Kernels, st.Why, slot.Path)
	}
	half, err := Load(filepath.Join("testdata", "tiny-bf16", "checkpoint"), Options{DType: gotch.Half})
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if err := half.Native(); err == nil || !strings.Contains(err.Error(), "has dtype F16, want F32 or BF16") {
		t.Errorf("error %v, want the dtype", err)
	}
}

// A logit that is not a number ends decoding with its utterance and place.
func TestNativeBadLogit(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	w := m.Predictor.Heads[1].P.(*nn.Linear).W
	run(t, func(c *nn.Context) error {
		v, err := tensor.Floats(w.T)
		v[3*w.Shape[1]] = float32(math.NaN())
		w.Set(c.Release(c.FromFloats(v, w.Shape...)))
		return err
	})
	st := nativeSteppers(t, m, StepperOptions{})
	_, err := m.GenerateWith(context.Background(), st.Talker, st.Predictor, sampledPrompts(t, m, 1), DefaultSampling())
	if err == nil || !strings.Contains(err.Error(), `talker: "u0" frame 0: logit 3 of code 2 is NaN or infinite`) {
		t.Errorf("error %v, want the utterance, the code and the place", err)
	}
}
