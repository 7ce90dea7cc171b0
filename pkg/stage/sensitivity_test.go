package stage_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/stage"
)

// Damages are measured once for all budgets, a budget that nothing fits into is told before, and the experiment that is written
// resolves, by itself, to the plan and to the rest of the experiment that it came from.
func TestMixedPrecision(t *testing.T) {
	sets := append(slices.Clone(small), `quant.include=["talker.codec_head", "talker.code_predictor.lm_head.*"]`,
		`quant.embeddings.include=["talker.model.*"]`, "sensitivity.bits=[4, 16]", "sensitivity.groups=[128]", "sensitivity.table_groups=[0]",
		"sensitivity.utterances=2", "sensitivity.method=mse", "calib.fold=awq")
	dir := t.TempDir()
	r, err := open(t, dir, false, sets)
	must(t, err)
	ctx := context.Background()
	r.Name = "demo-w4a8"
	if _, err := r.MixedPrecision(ctx, 1000); err == nil || !strings.Contains(err.Error(), "smaller than") {
		t.Errorf("error of a budget of 1000 bytes: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, stage.SensitivityFile)); err == nil {
		t.Error("damages were measured for a budget that nothing fits into")
	}
	all, err := r.MixedPrecision(ctx, 1<<40)
	must(t, err)
	if all.Damage != 0 || len(all.Choices) != 18 {
		t.Errorf("room for everything: damage %g of %d choices", all.Damage, len(all.Choices))
	}
	before, err := os.ReadFile(filepath.Join(dir, stage.SensitivityFile))
	must(t, err)
	r.Log.(*bytes.Buffer).Reset()
	mixed, err := r.MixedPrecision(ctx, all.Bytes-300_000)
	must(t, err)
	if log := r.Log.(*bytes.Buffer).String(); !strings.Contains(log, "sensitivity.json is there") || strings.Contains(log, "ETA") {
		t.Errorf("a second budget measures again: %s", log)
	}
	damages, err := r.Sensitivity(ctx)
	must(t, err)
	if n := len(damages.Tables()[1].Rows); n != 16+2*2 {
		t.Errorf("%d rows of damages, want one for 16 layers in INT4 and two for 2 tables", n)
	}
	after, err := os.ReadFile(filepath.Join(dir, stage.SensitivityFile))
	must(t, err)
	if !bytes.Equal(before, after) || mixed.Damage <= 0 || mixed.Bytes > all.Bytes-300_000 {
		t.Errorf("damages changed: %v; %d bytes with damage %g", !bytes.Equal(before, after), mixed.Bytes, mixed.Damage)
	}

	e, _, err := stage.Resolve(experiment.Flags{Config: filepath.Join(dir, stage.PlanFile), Experiment: "demo-w4a8-mixed"})
	must(t, err)
	plan, err := qat.NewPlan(r.Teacher, e.Quant)
	must(t, err)
	must(t, mixed.Check(plan))
	want := r.Experiment
	e.Quant.Exclude, e.Quant.Overrides, e.Quant.Embeddings = want.Quant.Exclude, want.Quant.Overrides, want.Quant.Embeddings
	if d := cmp.Diff(want, e); d != "" {
		t.Errorf("the rest of the experiment (-from +written):\n%s", d)
	}
}
