package stage

import (
	"bytes"
	"context"
	"math"
	"testing"

	"github.com/qakd/qakd/internal/memory"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// measured trains a student as the distillation stage does and returns the most anonymous memory.
func measured(t *testing.T, r *Run) int64 {
	t.Helper()
	if _, err := r.Student(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Calibrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	tensor.Trim()
	if err := memory.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	if err := r.Distill(context.Background()); err != nil {
		t.Fatal(err)
	}
	peak, err := memory.PeakAnonymous()
	if err != nil {
		t.Fatal(err)
	}
	return peak
}

// The estimate is within 15 % of what the stage takes, with few large micro-batches so that activations count.
func TestMemoryEstimate(t *testing.T) {
	if testing.Short() {
		t.Skip("trains two students")
	}
	if err := memory.ResetPeak(); err != nil {
		t.Skip(err)
	}
	common := []string{"threads=1", "calib.utterances=8", "calib.min_tokens=8", "calib.grid_points=8", "data.selection_size=8", "train.steps=2"}
	for name, sets := range map[string][]string{
		"large batches": {"train.micro_batch=16", "train.tokens_per_step=100"},
		"all that saves": {"train.micro_batch=16", "train.tokens_per_step=100", "dtype=bfloat16", "quant.masters=bfloat16", "train.optim.weights=stochastic", "train.optim.state_bits=8",
			"train.gradient_checkpointing=true", "distill.chunk_rows=64", "distill.cache.keep=top", "distill.cache.check=1"},
	} {
		t.Run(name, func(t *testing.T) {
			e, resolved, err := Resolve(experiment.Flags{Experiment: "demo-w4a8", Set: append(common, sets...)})
			if err != nil {
				t.Fatal(err)
			}
			tensor.Trim()
			r, err := Open(e, resolved, t.TempDir(), false)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			r.Log = new(bytes.Buffer)
			m, err := talker.New(r.Teacher.Config)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := qat.NewPlan(m, e.Quant)
			if err != nil {
				t.Fatal(err)
			}
			want, err := r.Memory(context.Background(), m, plan)
			if err != nil {
				t.Fatal(err)
			}
			want.Total -= want.Teacher // which is there already: it is in what the process has
			tensor.Trim()
			got := measured(t, r)
			t.Logf("%.1f MiB estimated, %.1f measured: %+v", mib(want.Total), mib(got), want)
			if math.Abs(float64(want.Total-got)) > 0.15*float64(got) {
				t.Errorf("%.1f MiB estimated, %.1f measured", mib(want.Total), mib(got))
			}
		})
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
