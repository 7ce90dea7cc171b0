package distill_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

// student is the teacher, fake-quantized to W4A8.
func student(t *testing.T) *talker.Model {
	m := model(t, 1)
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

// TestExactResume: a fake-quantized student that stops after 15 of 30 steps and goes on in a new process is the one
// that never stopped, to the bit: masters, scales, moments, metrics and the choice of the best.
func TestExactResume(t *testing.T) {
	cfg := train.DefaultConfig()
	cfg.Steps, cfg.MicroBatch, cfg.TokensPerStep, cfg.EvalEvery, cfg.CheckpointEvery = 30, 2, 10, 6, 7
	train30 := func(dir string, m *talker.Model, resume bool, stopAt int64) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o, err := distill.New(model(t, 1), m, distill.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		loop := train.Loop{
			Config: cfg, Objective: o, Data: utterances(20), Dir: dir, Resume: resume, Settings: train.SettingsOf(distill.DefaultConfig()),
			Tracker: stopper{track.NewJSONL(filepath.Join(dir, "metrics.jsonl")), stopAt, cancel},
			Evaluate: func(ctx context.Context, _ int) (train.Evaluation, error) {
				d, err := distill.Measure(ctx, model(t, 1), m, utterances(4), distill.DefaultMeasureConfig())
				return train.Evaluation{Value: d.NatsPerFrame()}, err
			},
		}
		_, err = loop.Run(ctx)
		return err
	}
	whole, halves := t.TempDir(), t.TempDir()
	first := student(t)
	before := weights(t, first)
	if err := train30(whole, first, false, 0); err != nil {
		t.Fatal(err)
	}
	if err := train30(halves, student(t), false, 15); !errors.Is(err, train.ErrInterrupted) {
		t.Fatalf("the interrupted run ends with %v", err)
	}
	second := student(t)
	if err := train30(halves, second, true, 0); err != nil {
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
	for _, name := range []string{"step-000030/model.safetensors", "step-000030/optim.safetensors", "step-000030/state.json", "best/model.safetensors", "best/state.json"} {
		if !bytes.Equal(read(t, whole, name), read(t, halves, name)) {
			t.Errorf("%s differs", name)
		}
	}
	if x, y := metrics(t, whole), metrics(t, halves); !bytes.Equal(x, y) || bytes.Count(x, []byte("\n")) != 30 {
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
