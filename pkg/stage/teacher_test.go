package stage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/stage"
)

// losses of a run's steps.
func losses(t *testing.T, dir string) (out []float64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, stage.MetricsFile))
	must(t, err)
	for line := range bytes.Lines(text) {
		var step struct{ Loss float64 }
		must(t, json.Unmarshal(line, &step))
		out = append(out, step.Loss)
	}
	return out
}

// distilled runs the stages until the student is distilled, and evaluates with packed.
func distilled(t *testing.T, dir string, packed bool, sets ...string) []float64 {
	t.Helper()
	r, err := open(t, dir, false, slices.Concat(small, sets))
	must(t, err)
	must(t, all(t, context.Background(), r))
	if packed {
		must(t, r.Convert())
		s, err := r.Evaluate(context.Background())
		must(t, err)
		checkSummary(t, s)
	}
	must(t, r.Close())
	return losses(t, dir)
}

// What the teacher said teaches as the teacher does, without it in memory; a training that was interrupted goes on to the
// bit; and everything that saves memory works together, to the packed checkpoint.
func TestCachedTeacher(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the pipeline six times")
	}
	live := distilled(t, t.TempDir(), false)
	// Hidden states are kept in bf16, which is enough to turn the sign of some of AdamW's first updates; logits are exact.
	logits := []string{"distill.hidden=0", "distill.cache.hidden=false"}
	alone := distilled(t, t.TempDir(), false, logits...)
	exact := distilled(t, t.TempDir(), false, append(logits, "distill.cache.keep=exact")...)
	dir := t.TempDir()
	tops := []string{"distill.cache.keep=top", "teacher.dtype=bfloat16", "train.gradient_checkpointing=true",
		"quant.masters=bfloat16", "train.optim.weights=stochastic", "train.optim.state_bits=8"}
	top := distilled(t, dir, true, tops...)
	for i, want := range live {
		if d := math.Abs(exact[i]-alone[i]) / alone[i]; d > 1e-5 {
			t.Errorf("step %d: loss %v from the exact cache, %v from the teacher", i+1, exact[i], alone[i])
		}
		// bf16 logits have 8 bits, of a teacher that the student is already within 0.02 nats of: 10 to 12 % of the first loss.
		if d := math.Abs(top[i]-want) / want; d > 0.15 || d == 0 {
			t.Errorf("step %d: loss %v from a bf16 teacher's top classes, %v from the teacher", i+1, top[i], want)
		}
	}

	broken := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := open(t, broken, false, append(small, tops...))
	must(t, err)
	if err := all(t, ctx, r); !errors.Is(err, context.Canceled) || experiment.ExitCode(err) != experiment.ExitInterrupted {
		t.Fatalf("an interrupted run gives %v, want an interruption", err)
	}
	must(t, r.Close())
	r, err = open(t, broken, true, append(small, tops...))
	must(t, err)
	must(t, all(t, context.Background(), r))
	must(t, r.Close())
	same(t, dir, broken, "distilled/model.safetensors", "teacher/part-00000.safetensors")

	// A shared folder that another setting made.
	r, err = open(t, t.TempDir(), false, slices.Concat(small, tops, []string{"distill.cache.dir=" + filepath.Join(dir, stage.CacheDir), "distill.cache.top=9"}))
	must(t, err)
	if err := all(t, context.Background(), r); err == nil || !strings.Contains(err.Error(), "top is 64, want 9") {
		t.Errorf("error %v", err)
	}
}

func TestTeacherErrors(t *testing.T) {
	for set, want := range map[string]string{
		"teacher.dtype=int8":      `teacher.dtype is "int8", want float32 or bfloat16`,
		"distill.cache.keep=all":  `not a choice (choices: none, top, exact)`,
		"quant.masters=float16":   `masters "float16", want float32 or bfloat16`,
		"teacher.device=nonsense": "nonsense",
	} {
		e, resolved, err := stage.Resolve(experiment.Flags{Experiment: "demo-w4a8", Set: []string{"threads=1", set}})
		if err == nil {
			err = e.Validate()
		}
		if err == nil {
			_, err = stage.Open(e, resolved, t.TempDir(), false)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want it to say %q", set, err, want)
		}
	}
}
