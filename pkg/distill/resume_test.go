package distill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

// student is the teacher, fake-quantized to W4A8.
func student(t *testing.T) *talker.Model { return quantized(t, model(t, 1)) }

func quantized(t *testing.T, m *talker.Model) *talker.Model {
	t.Helper()
	if _, err := qat.Prepare(m, qat.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	return m
}

// stopper cancels a run after a step.
type stopper struct {
	track.Tracker
	at     int64
	cancel func()
}

func (s stopper) Step(r track.Step) error {
	if r.Step == s.at {
		s.cancel()
	}
	return s.Tracker.Step(r)
}

// TestExactResume: a fake-quantized student that stops and goes on in a new process is the one that never stopped, to the
// bit: masters, scales, moments, metrics and the choice of the best. In the mix every epoch has its own layouts, and
// references of other utterances.
func TestExactResume(t *testing.T) {
	t.Run("preset voices", func(t *testing.T) {
		exactResume(t, model, func(*talker.Model) data.Set { return utterances(20) }, distill.Layouts{}, 30, 15)
	})
	t.Run("every layout of a clone", func(t *testing.T) {
		l := everyClone()
		l.References = distill.FromSpeaker
		exactResume(t, cloner, func(m *talker.Model) data.Set { return mixed(t, m, clones(9), l) }, l, 12, 5)
	})
}

func exactResume(t *testing.T, load func(testing.TB, int64) *talker.Model, set func(*talker.Model) data.Set, l distill.Layouts, steps, stop int) {
	cfg, weigh := train.DefaultConfig(), distill.DefaultConfig()
	cfg.Steps, cfg.MicroBatch, cfg.TokensPerStep, cfg.EvalEvery, cfg.CheckpointEvery = steps, 2, 10, 6, 7
	weigh.Layouts = l
	distil := func(dir string, m *talker.Model, resume bool, stopAt int64) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o, err := distill.New(load(t, 1), m, weigh)
		if err != nil {
			t.Fatal(err)
		}
		loop := train.Loop{
			Config: cfg, Objective: o, Data: set(m), Dir: dir, Resume: resume, Settings: train.SettingsOf(weigh),
			Tracker: stopper{track.NewJSONL(filepath.Join(dir, "metrics.jsonl")), stopAt, cancel},
			Evaluate: func(ctx context.Context, _ int) (train.Evaluation, error) {
				held := mixed(t, m, clones(4), l)
				d, err := distill.Measure(ctx, load(t, 1), m, held, distill.DefaultMeasureConfig())
				return train.Evaluation{Value: d.NatsPerFrame()}, err
			},
		}
		_, err = loop.Run(ctx)
		return err
	}
	whole, halves := t.TempDir(), t.TempDir()
	first := quantized(t, load(t, 1))
	before := weights(t, first)
	if err := distil(whole, first, false, 0); err != nil {
		t.Fatal(err)
	}
	if err := distil(halves, quantized(t, load(t, 1)), false, int64(stop)); !errors.Is(err, train.ErrInterrupted) {
		t.Fatalf("the interrupted run ends with %v", err)
	}
	second := quantized(t, load(t, 1))
	if err := distil(halves, second, true, 0); err != nil {
		t.Fatal(err)
	}

	a, b := weights(t, first), weights(t, second)
	moved := false
	for _, p := range nn.Params(first) {
		if !bytes.Equal(a[p.Name], b[p.Name]) {
			t.Errorf("%s differs", p.Name)
		}
		moved = moved || p.Scale && !bytes.Equal(a[p.Name], before[p.Name])
	}
	if !moved {
		t.Error("no scale was trained")
	}
	last := fmt.Sprintf("step-%06d", steps)
	for _, name := range []string{last + "/model.safetensors", last + "/optim.safetensors", last + "/state.json", "best/model.safetensors", "best/state.json"} {
		if !bytes.Equal(read(t, whole, name), read(t, halves, name)) {
			t.Errorf("%s differs", name)
		}
	}
	if x, y := metrics(t, whole), metrics(t, halves); !bytes.Equal(x, y) || bytes.Count(x, []byte("\n")) != steps {
		t.Errorf("metrics differ:\n%s\n%s", x, y)
	}
}

func weights(t *testing.T, m nn.Module) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, p := range nn.Params(m) {
		b, err := tensor.Bytes(p.T)
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = b
	}
	return out
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var seconds = regexp.MustCompile(`"seconds":[0-9.]+,`)

// metrics without the one number that depends on the clock.
func metrics(t *testing.T, dir string) []byte {
	return seconds.ReplaceAll(read(t, dir, "metrics.jsonl"), nil)
}
