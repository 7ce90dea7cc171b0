package distill_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch/ts"
)

// everything weighs each term differently.
func everything() distill.Config {
	c := distill.DefaultConfig()
	c.KLCode0, c.KLCodes, c.Hidden, c.EOS, c.CECode0, c.CECodes = 1, 0.5, 0.3, 2, 0.1, 0.2
	return c
}

// terms of one pass as numbers, with the gradients of the student.
func terms(t *testing.T, teacher, student *talker.Model, cfg distill.Config, us []data.Utterance, total train.Counts) (map[string]float64, map[string][]float32) {
	t.Helper()
	o, err := distill.New(teacher, student, cfg)
	if err != nil {
		t.Fatal(err)
	}
	values, grads := map[string]float64{}, map[string][]float32{}
	for _, p := range nn.Params(student) {
		if err := tensor.RequireGrad(p.T, true); err != nil {
			t.Fatal(err)
		}
	}
	err = nn.Run(func(c *nn.Context) error {
		list, err := o.Terms(c, us, total)
		if err != nil {
			return err
		}
		var loss *ts.Tensor
		sum := 0.0
		for _, term := range list {
			values[term.Name] = scalar(t, term.Value)
			sum += term.Weight * values[term.Name]
			part := c.MulScalar(term.Value, term.Weight)
			if loss != nil {
				part = c.Add(part, loss)
			}
			loss = part
		}
		values["loss"] = sum
		if err := tensor.Backward(loss); err != nil {
			return err
		}
		for _, p := range nn.Params(student) {
			if g := c.Gradient(p.T); g != nil {
				grads[p.Name] = floats(t, g)
			}
			if err := tensor.ZeroGrad(p.T); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values, grads
}

// TestTerms holds a padded batch against loops over utterances that ran alone.
func TestTerms(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	us := utterances(5)
	tests := []struct {
		name string
		edit func(*distill.Config)
	}{
		{"default", func(*distill.Config) {}},
		{"temperature", func(c *distill.Config) { c.Temperature = 2 }},
		{"full head", func(c *distill.Config) { c.Code0Classes = distill.Full }},
		{"codebook weights", func(c *distill.Config) { c.CodebookWeights = []float64{3, 0, 0.5} }},
		{"chunks", func(c *distill.Config) { c.ChunkRows = 4 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := everything()
			tt.edit(&cfg)
			weights := cfg.CodebookWeights
			if weights == nil {
				weights = []float64{1, 1, 1}
			}
			var s sums
			for _, u := range us {
				s.add(alone(t, teacher, u), alone(t, student, u), cfg.Temperature, weights)
			}
			want := map[string]float64{
				"kl_code0": s.klReachable / s.rows, "kl_codes": s.klCodes / s.frames, "hidden": s.hidden / s.rows,
				"eos": s.eos / s.rows, "ce_code0": s.ceCode0 / s.rows, "ce_codes": s.ceCodes / s.frames,
			}
			if cfg.Code0Classes == distill.Full {
				want["kl_code0"] = s.klFull / s.rows
			}
			got, _ := terms(t, teacher, student, cfg, us, train.Count(us))
			for name, w := range want {
				if math.Abs(got[name]-w) > 2e-5*math.Max(1, w) || w < 1e-3 {
					t.Errorf("%s is %g, loops say %g", name, got[name], w)
				}
			}
			if len(got) != len(want)+1 {
				t.Errorf("terms %v, want those of %v", got, want)
			}
		})
	}
}

// TestCuts: one batch, single utterances with the step's counts, and chunks of rows give one loss and one gradient.
func TestCuts(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	us := utterances(5)
	whole, grads := terms(t, teacher, student, everything(), us, train.Count(us))

	same := func(what string, v map[string]float64, g map[string][]float32) {
		t.Helper()
		for name, w := range whole {
			if math.Abs(v[name]-w) > 1e-5*math.Max(1, math.Abs(w)) {
				t.Errorf("%s: %s is %g, in one batch %g", what, name, v[name], w)
			}
		}
		for name, w := range grads {
			for i := range w {
				if len(g[name]) != len(w) || math.Abs(float64(g[name][i]-w[i])) > 2e-5 {
					t.Errorf("%s: gradient of %s differs", what, name)
					break
				}
			}
		}
	}
	single, sum := map[string]float64{}, map[string][]float32{}
	for _, u := range us {
		v, g := terms(t, teacher, student, everything(), []data.Utterance{u}, train.Count(us))
		for name := range v {
			single[name] += v[name]
		}
		for name := range g {
			if sum[name] == nil {
				sum[name] = make([]float32, len(g[name]))
			}
			for i := range g[name] {
				sum[name][i] += g[name][i]
			}
		}
	}
	same("single utterances", single, sum)
	cfg := everything()
	cfg.ChunkRows = 3
	v, g := terms(t, teacher, student, cfg, us, train.Count(us))
	same("chunks of 3 rows", v, g)
}

// TestGradient holds the gradient of the whole loss against a central difference along it.
func TestGradient(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	us := utterances(3)
	_, grads := terms(t, teacher, student, everything(), us, train.Count(us))
	norm := 0.0
	for _, g := range grads {
		for _, v := range g {
			norm += float64(v) * float64(v)
		}
	}
	norm = math.Sqrt(norm)
	const h = 2e-3
	move := func(by float64) float64 {
		for _, p := range nn.Params(student) {
			err := tensor.Run(func(s *tensor.Scope) error {
				g := grads[p.Name]
				if g == nil {
					return nil
				}
				d := s.MulScalar(s.FromFloats(g, p.Shape...), by/norm)
				p.Set(s.Release(s.Add(s.Detach(p.T), d)))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		v, _ := terms(t, teacher, student, everything(), us, train.Count(us))
		return v["loss"]
	}
	up := move(h)
	down := move(-2 * h)
	if slope := (up - down) / (2 * h); math.Abs(slope-norm) > 0.01*norm {
		t.Errorf("the loss rises by %g along its gradient of norm %g", slope, norm)
	}
}

// TestSelf: a student that is its teacher has no loss and no gradient, and the teacher never gets one.
func TestSelf(t *testing.T) {
	teacher, student := model(t, 1), model(t, 1)
	for _, p := range nn.Params(teacher) {
		if err := tensor.RequireGrad(p.T, true); err != nil {
			t.Fatal(err)
		}
	}
	us := utterances(4)
	cfg := distill.DefaultConfig()
	got, grads := terms(t, teacher, student, cfg, us, train.Count(us))
	for name, v := range got {
		if math.Abs(v) > 1e-6 {
			t.Errorf("%s is %g, want 0", name, v)
		}
	}
	for name, g := range grads {
		for _, v := range g {
			if math.Abs(float64(v)) > 1e-5 {
				t.Fatalf("gradient of %s is %g, want 0", name, v)
			}
		}
	}
	_, _ = terms(t, teacher, model(t, 2), everything(), us, train.Count(us))
	err := nn.Run(func(c *nn.Context) error {
		for _, p := range nn.Params(teacher) {
			if c.Gradient(p.T) != nil {
				t.Errorf("teacher parameter %s has a gradient", p.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWatchers: they see the student's layers, each once, and nothing of the teacher.
func TestWatchers(t *testing.T) {
	teacher, student := model(t, 1), model(t, 2)
	o, err := distill.New(teacher, student, distill.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	err = nn.Run(func(c *nn.Context) (err error) {
		c.Input = func(path string, _ *ts.Tensor) { seen[path]++ }
		us := utterances(2)
		nn.NoGrad(func() { _, err = o.Terms(c, us, train.Count(us)) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range nn.Slots(student) {
		if seen[s.Path] != 1 {
			t.Errorf("%s was seen %d times, want once", s.Path, seen[s.Path])
		}
	}
}

func TestErrors(t *testing.T) {
	other := func(t *testing.T) *talker.Model {
		cfg := tinyConfig(t)
		cfg.Talker.CodecEos = 27
		m, err := talker.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	tests := []struct {
		name    string
		teacher *talker.Model
		edit    func(*distill.Config)
		want    string
	}{
		{"weights", model(t, 1), func(c *distill.Config) { c.EOS, c.KLCodes = -1, math.NaN() },
			"kl_codes is NaN, want a finite number of at least 0\neos is -1, want"},
		{"no term", model(t, 1), func(c *distill.Config) {
			*c = distill.Config{Objective: talker.Aligned, Temperature: 1, Code0Classes: distill.Full}
		}, "all weights are 0"},
		{"objective", model(t, 1), func(c *distill.Config) { c.Objective = talker.Script }, `objective "script" shifts code 0`},
		{"temperature", model(t, 1), func(c *distill.Config) { c.Temperature = 0 }, "temperature is 0, want a finite number above 0"},
		{"classes", model(t, 1), func(c *distill.Config) { c.Code0Classes = "some" }, `code0_classes is "some", want one of: reachable, full`},
		{"codebook weights", model(t, 1), func(c *distill.Config) { c.CodebookWeights = []float64{1} }, "codebook_weights has 1 numbers, want 3"},
		{"other teacher", other(t), func(*distill.Config) {}, "codec_eos_token_id is 27 in the teacher and 22 in the student"},
		{"layout of another kind", model(t, 1), func(c *distill.Config) { c.Layouts.XVector = 1 },
			`layouts.xvector is 1, want 0: a "custom_voice" checkpoint has the voices ["preset"]`},
		{"no teacher", nil, func(*distill.Config) {}, "no teacher, want one for the weights of"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := distill.DefaultConfig()
			tt.edit(&cfg)
			_, err := distill.New(tt.teacher, model(t, 2), cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("unknown speaker", func(t *testing.T) {
		o, err := distill.New(model(t, 1), model(t, 2), distill.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		us := utterances(1)
		us[0].Speaker = "zoe"
		err = nn.Run(func(c *nn.Context) error { _, err := o.Terms(c, us, train.Count(us)); return err })
		if err == nil || !strings.Contains(err.Error(), `utterance "u0": speaker "zoe" is not in spk_id`) {
			t.Errorf("error %v", err)
		}
	})
}

// TestBrokenWeight: a weight that is not a number stops the training with the name of its layer.
func TestBrokenWeight(t *testing.T) {
	m := model(t, 2)
	const layer = "talker.code_predictor.model.layers.0"
	for _, p := range nn.Params(m) {
		if p.Name != layer+".mlp.down_proj.weight" {
			continue
		}
		err := tensor.Run(func(s *tensor.Scope) error {
			p.Set(s.Release(s.MulScalar(p.T, math.NaN())))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	o, err := distill.New(model(t, 1), m, distill.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg := train.DefaultConfig()
	cfg.Steps = 2
	_, err = (&train.Loop{Config: cfg, Objective: o, Data: utterances(4)}).Run(context.Background())
	var bad *train.NonFiniteError
	if !errors.As(err, &bad) || bad.Layer != layer || bad.What != `loss term "kl_codes"` {
		t.Errorf("error %v, want one that names kl_codes and %s", err, layer)
	}
}
