package train_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

func config() train.Config {
	c := train.DefaultConfig()
	c.Steps, c.MicroBatch, c.TokensPerStep, c.SortWindow = 30, 3, 20, 2
	c.CheckpointEvery, c.EvalEvery = 10, 5
	return c
}

func run(t *testing.T, l train.Loop) train.Result {
	t.Helper()
	res, err := l.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestLossFalls(t *testing.T) {
	var seen log
	m := newBigram(t)
	cfg := config()
	cfg.Steps, cfg.Optim.LR, cfg.Optim.WarmupSteps = 100, 0.05, 10
	res := run(t, train.Loop{Config: cfg, Objective: m, Data: corpus(40), Tracker: &seen})
	first, last := value(t, seen.steps[0], "ce"), value(t, seen.steps[99], "ce")
	if last > 0.6*first {
		t.Errorf("cross-entropy %g after %g: it did not fall", last, first)
	}
	if loss, want := value(t, seen.steps[99], "loss"), last+0.01*value(t, seen.steps[99], "size"); loss != want {
		t.Errorf("loss %g, want the weighted sum %g", loss, want)
	}
	if lr := value(t, seen.steps[0], "lr"); math.Abs(lr-0.005) > 1e-12 {
		t.Errorf("first rate %g, want a tenth of the peak", lr)
	}
	var frames int64
	for _, s := range seen.steps {
		if s.Tokens < 20 {
			t.Errorf("step %d took %d frames, want at least 20", s.Step, s.Tokens)
		}
		frames += s.Tokens
	}
	if res.Frames != frames || res.Step != 100 {
		t.Errorf("result %+v, want 100 steps and %d frames", res, frames)
	}
}

// TestExactResume: 30 steps are 15 and 15, to the bit, in tensors, reports and held-out values.
func TestExactResume(t *testing.T) {
	evaluate := func(m *bigram) func(context.Context, int) (train.Evaluation, error) {
		return func(context.Context, int) (train.Evaluation, error) {
			v := values(t, m)["head.bias"]
			return train.Evaluation{Value: float64(v[0]), Metrics: []track.Value{{Name: "bias1", V: float64(v[1])}}}, nil
		}
	}
	var whole log
	a := newBigram(t)
	dirA := t.TempDir()
	resA := run(t, train.Loop{Config: config(), Objective: a, Data: corpus(40), Dir: dirA, Tracker: &whole, Evaluate: evaluate(a)})

	dirB := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	halves := log{after: func(r track.Step) error {
		if r.Step == 15 {
			cancel()
		}
		return nil
	}}
	b := newBigram(t)
	loop := train.Loop{Config: config(), Objective: b, Data: corpus(40), Dir: dirB, Tracker: &halves, Evaluate: evaluate(b)}
	if res, err := loop.Run(ctx); !errors.Is(err, train.ErrInterrupted) || !errors.Is(err, context.Canceled) || res.Step != 15 {
		t.Fatalf("interrupted run: %+v, %v", res, err)
	}
	b = newBigram(t) // a new process: nothing but the folder is left
	loop.Objective, loop.Evaluate, loop.Resume = b, evaluate(b), true
	resB := run(t, loop)

	if d := cmp.Diff(whole.steps, halves.steps); d != "" {
		t.Errorf("reports differ (-whole +halves):\n%s", d)
	}
	if d := cmp.Diff(values(t, a), values(t, b)); d != "" {
		t.Errorf("parameters differ:\n%s", d)
	}
	for _, name := range []string{"model.safetensors", "optim.safetensors", "state.json"} {
		x, errX := os.ReadFile(filepath.Join(resA.Last, name))
		y, errY := os.ReadFile(filepath.Join(resB.Last, name))
		if errX != nil || errY != nil || string(x) != string(y) {
			t.Errorf("%s differs (%v, %v)", name, errX, errY)
		}
	}
	if d := cmp.Diff(resA.Best, resB.Best); d != "" || resA.Best == nil {
		t.Errorf("best differs: %s", d)
	}
}

// TestMicroBatches: how a step is cut does not matter, but for rounding.
func TestMicroBatches(t *testing.T) {
	losses := func(size int) (out []float64) {
		var seen log
		cfg := config()
		cfg.Steps, cfg.MicroBatch, cfg.SortWindow, cfg.TokensPerStep = 3, size, 0, 1
		if size == 1 {
			cfg.TokensPerStep = 8 * 5 // the 8 utterances below have 40 frames
		}
		var us data.List
		for range 4 {
			us = append(us, corpus(8)[2], corpus(8)[7])
		}
		m := newBigram(t)
		m.noise = 0
		run(t, train.Loop{Config: cfg, Objective: m, Data: us, Tracker: &seen})
		for _, s := range seen.steps {
			out = append(out, value(t, s, "loss"), value(t, s, "grad_norm"))
		}
		return out
	}
	one, all := losses(1), losses(8)
	for i := range one {
		if d := one[i] - all[i]; d > 1e-5 || d < -1e-5 {
			t.Errorf("value %d: %g in micro-batches of 1, %g in one of 8", i, one[i], all[i])
		}
	}
}

func TestBestIsKept(t *testing.T) {
	dir := t.TempDir()
	m := newBigram(t)
	var at10 map[string][]float32
	worse := 0.0
	loop := train.Loop{Config: config(), Objective: m, Data: corpus(40), Dir: dir,
		Evaluate: func(_ context.Context, step int) (train.Evaluation, error) {
			if step == 10 {
				at10 = values(t, m)
				return train.Evaluation{Value: -1}, nil
			}
			worse++
			return train.Evaluation{Value: worse}, nil
		}}
	res := run(t, loop)
	if res.Best == nil || res.Best.Step != 10 || res.Best.Value != -1 {
		t.Fatalf("best is %+v, want step 10", res.Best)
	}
	st, err := train.Load(filepath.Join(dir, train.BestDir), m)
	if err != nil || st.Step != 10 {
		t.Fatalf("best/: step %d, %v", st.Step, err)
	}
	if d := cmp.Diff(at10, values(t, m)); d != "" {
		t.Errorf("best/ does not hold the parameters of step 10:\n%s", d)
	}
}

func TestCheckpointFolders(t *testing.T) {
	dir := t.TempDir()
	loop := train.Loop{Config: config(), Objective: newBigram(t), Data: corpus(40), Dir: dir}
	run(t, loop)
	for name, want := range map[string]bool{"step-000010": false, "step-000020": true, "step-000030": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it kept: %v", name, err, want)
		}
	}
	if _, err := loop.Run(context.Background()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second run over the first gives %v, want an error", err)
	}
	loop.Resume = true
	if res := run(t, loop); res.Step != 30 {
		t.Errorf("resuming a finished run gives %+v", res)
	}

	// A damaged newest checkpoint is passed over, and said so.
	if err := os.Truncate(filepath.Join(dir, "step-000030", train.OptimFile), 100); err != nil {
		t.Fatal(err)
	}
	var seen log
	loop.Tracker = &seen
	run(t, loop)
	if len(seen.steps) != 10 || seen.done != 20 || len(seen.notes) != 1 || !strings.Contains(seen.notes[0], "step-000030/optim.safetensors: SHA-256") {
		t.Errorf("%d steps after %d and notes %q, want steps 21 to 30 and one note", len(seen.steps), seen.done, seen.notes)
	}
	for _, name := range []string{"step-000020", "step-000030"} {
		if err := os.Remove(filepath.Join(dir, name, train.StateFile)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := loop.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "no complete checkpoint") {
		t.Errorf("only incomplete checkpoints give %v", err)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	good := train.Loop{Config: config(), Objective: newBigram(t), Data: corpus(40), Dir: dir}
	good.Config.Steps = 10
	run(t, good)

	tests := []struct {
		name string
		edit func(l *train.Loop)
		want string
	}{
		{"no data", func(l *train.Loop) { l.Data = data.List{} }, "no utterances"},
		{"bad configuration", func(l *train.Loop) { l.Config.Steps, l.Config.MicroBatch = 0, -1 },
			"steps is 0, want at least 1\nmicro_batch is -1, want at least 1"},
		{"loss NaN", func(l *train.Loop) { l.Objective.(*bigram).spoil = "loss" }, `step 1: loss term "ce" is NaN, want a finite number (first seen in layer "head")`},
		{"gradient NaN", func(l *train.Loop) { l.Objective.(*bigram).spoil = "grad" }, `step 1: optim: the gradient of "table.weight" holds NaN`},
		{"other settings", func(l *train.Loop) {
			l.Dir, l.Resume = dir, true
			l.Config.Seed, l.Config.Steps = 9, 10
			l.Settings = train.Settings{"student.bits": "4"}
			l.Config.LogEvery = 77 // allowed
		}, "with other settings: seed is 9, the checkpoint has 1; student.bits is 4, the checkpoint has none"},
		{"frozen model", func(l *train.Loop) {
			for _, p := range nn.Params(l.Objective.Module()) {
				p.Frozen = true
			}
		}, "no trainable parameter"},
		{"evaluation fails", func(l *train.Loop) {
			l.Evaluate = func(context.Context, int) (train.Evaluation, error) {
				return train.Evaluation{}, errors.New("no voice")
			}
		}, "evaluation after step 5: no voice"},
		{"folder that cannot be written", func(l *train.Loop) { l.Dir = "/proc/self/none" }, "checkpoint /proc/self/none/step-000010"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := train.Loop{Config: config(), Objective: newBigram(t), Data: corpus(40)}
			tt.edit(&l)
			_, err := l.Run(context.Background())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestDiskFull: a checkpoint that does not fit is an error, and leaves the folder as it was.
// It runs in a process of its own: the limit would hit the files of the test framework too.
func TestDiskFull(t *testing.T) {
	if os.Getenv("QAKD_TEST_DISK_FULL") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
		cmd.Env = append(os.Environ(), "QAKD_TEST_DISK_FULL=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestDiskFull") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	dir := t.TempDir()
	loop := train.Loop{Config: config(), Objective: newBigram(t), Data: corpus(40), Dir: dir}
	loop.Config.CheckpointEvery = 10
	loop.Tracker = &log{after: func(s track.Step) error {
		if s.Step == 15 {
			limitFiles(t, 1000) // a file of more bytes fails, as on a full disk
		}
		return nil
	}}
	_, err := loop.Run(context.Background())
	if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), filepath.Join(dir, "step-000020")) {
		t.Errorf("error %v, want one of the file system that names the checkpoint", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "step-000010" {
		t.Errorf("the folder holds %v (%v), want step-000010 alone", entries, err)
	}
}

// limitFiles bounds the size of files that this process writes, until the test ends.
func limitFiles(t *testing.T, bytes uint64) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
	})
}
