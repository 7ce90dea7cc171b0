package train_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch"
)

// fragile has a gradient that is not finite in some calls.
type fragile struct {
	*bigram
	calls int
	bad   map[int]bool
}

func (f *fragile) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	f.calls++
	f.spoil = ""
	if f.bad[f.calls] {
		f.spoil = "grad"
	}
	return f.bigram.Terms(c, us, total)
}

// A power of two changes no bit.
func TestLossScaleChangesNothing(t *testing.T) {
	var want map[string][]float32
	for _, factor := range []float64{0, 4096} {
		m, cfg := newBigram(t), config()
		cfg.Optim.LossScale = factor
		run(t, train.Loop{Config: cfg, Objective: m, Data: corpus(20)})
		if got := values(t, m); want == nil {
			want = got
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("a scaled loss trains other weights: %s", d)
		}
	}
}

// An overflow costs a step, is told, and is remembered over a resume.
func TestOverflowSkipsAStep(t *testing.T) {
	cfg := config()
	cfg.Optim.LossScale, cfg.TokensPerStep = 64, 1
	dir := t.TempDir()
	var seen log
	cfg.Steps = 10
	m := newBigram(t)
	run(t, train.Loop{Config: cfg, Objective: &fragile{bigram: m, bad: map[int]bool{3: true, 7: true}}, Data: corpus(20), Dir: dir, Tracker: &seen})
	for i, want := range []float64{64, 64, 32, 32, 32, 32, 16, 16, 16, 16} {
		if got := value(t, seen.steps[i], "loss_scale"); got != want {
			t.Errorf("step %d: loss scale %v, want %v", i+1, got, want)
		}
	}
	if len(seen.notes) != 2 || !strings.Contains(seen.notes[1], "step 7") || !strings.Contains(seen.notes[1], "16") {
		t.Errorf("notes %q, want one for each overflow", seen.notes)
	}
	value(t, seen.steps[2], "skipped")

	// The same training, stopped after step 4.
	other, again := t.TempDir(), newBigram(t)
	ctx, stop := context.WithCancel(context.Background())
	first := log{after: func(s track.Step) error {
		if s.Step == 4 {
			stop()
		}
		return nil
	}}
	f := &fragile{bigram: again, bad: map[int]bool{3: true, 7: true}}
	loop := train.Loop{Config: cfg, Objective: f, Data: corpus(20), Dir: other, Resume: true, Tracker: &first}
	if _, err := loop.Run(ctx); err == nil {
		t.Fatal("the run was not interrupted")
	}
	loop.Tracker = nil
	run(t, loop)
	if d := cmp.Diff(values(t, m), values(t, again)); d != "" {
		t.Errorf("a resumed run differs: %s", d)
	}
}

// plate is one bf16 parameter, large enough for 8-bit moments, that is drawn to a number for each utterance.
type plate struct{ w *nn.Param }

func newPlate(t *testing.T) *plate {
	p := &plate{nn.NewParam("w", nn.Normal, 70, 61)}
	err := tensor.Run(func(s *tensor.Scope) error {
		v := make([]float32, 70*61)
		for i := range v {
			v[i] = float32(i%97) / 50
		}
		p.w.Set(s.Release(s.To(s.FromFloats(v, 70, 61), gotch.BFloat16)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.w.Set(nil) })
	return p
}

func (p *plate) Visit(v nn.Visitor) { p.w.Visit(v) }
func (p *plate) Module() nn.Module  { return p }
func (p *plate) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	off := c.SubScalar(c.To(p.w.T, gotch.Float), float64(len(us[0].Codes))/5)
	return []train.Term{{Name: "distance", Weight: 1, Value: c.DivScalar(c.Sum(c.Square(off)), float64(total.Frames))}}, nil
}

// Every form of state and weight trains, resumes to the bit, and refuses to go on as another.
func TestFormsResume(t *testing.T) {
	for _, c := range []struct {
		bits    int
		weights optim.Weights
	}{{8, optim.Masters}, {8, optim.Stochastic}, {32, optim.Stochastic}} {
		cfg := config()
		cfg.Optim.StateBits, cfg.Optim.Weights = c.bits, c.weights
		whole, part := newPlate(t), newPlate(t)
		var seen log
		run(t, train.Loop{Config: cfg, Objective: whole, Data: corpus(20), Tracker: &seen})
		if first, last := value(t, seen.steps[0], "grad_norm"), value(t, seen.steps[29], "grad_norm"); last > 0.99*first {
			t.Errorf("%v: gradient norm %v after %v: nothing was learned", c, last, first)
		}
		dir := t.TempDir()
		ctx, stop := context.WithCancel(context.Background())
		loop := train.Loop{Config: cfg, Objective: part, Data: corpus(20), Dir: dir, Resume: true, Tracker: &log{after: func(s track.Step) error {
			if s.Step == 13 {
				stop()
			}
			return nil
		}}}
		if _, err := loop.Run(ctx); err == nil {
			t.Fatal("the run was not interrupted")
		}
		loop.Tracker = nil
		changed := loop
		changed.Config.Optim.StateBits = 40 - c.bits
		if _, err := changed.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "optim.state_bits is ") {
			t.Errorf("%v: other bits on resume: error %v", c, err)
		}
		run(t, loop)
		if d := cmp.Diff(values(t, whole), values(t, part)); d != "" {
			t.Errorf("%v: a resumed run differs: %s", c, d)
		}
	}
}
