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
	if log := r.Log.(*bytes.Buffer).String(); !strings.Contains(log, "calib.fold is awq, but damages are of layers without folds") {
		t.Errorf("nothing about folds in the log:\n%s", log)
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

// What cannot be measured as asked is an error before anything is measured.
func TestSensitivityRefuses(t *testing.T) {
	sets := append(slices.Clone(small), "sensitivity.utterances=2")
	for _, c := range []struct{ set, want string }{
		{"sensitivity.method=hqq", "talker.text_projection.linear_fc1: calib: hqq with scheme int4 sym g32, want an asymmetric one"},
		{"sensitivity.utterances=5", "sensitivity.utterances is 5, but data.selection_size takes 4 of the demo's language: raise that to 5, or lower sensitivity.utterances"},
	} {
		dir := t.TempDir()
		r, err := open(t, dir, false, append(slices.Clone(sets), c.set))
		must(t, err)
		if _, err := r.Sensitivity(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want it to say %q", c.set, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(dir, stage.CalibrationDir)); err == nil {
			t.Errorf("%s: a calibration was begun", c.set)
		}
	}
}

// Where the calibration rotates, damages are of the rotated model, whatever the method: it says what the teacher says, so those
// of 8 bits are small.
func TestSensitivityOfRotatedModel(t *testing.T) {
	dir := t.TempDir()
	r, err := open(t, dir, false, append(slices.Clone(small), `quant.include=["talker.model.layers.0.mlp.*"]`, `quant.embeddings.exclude=["**"]`,
		"quant.activation.bits=0", "quant.activation.mode=none", "sensitivity.groups=[32]", "sensitivity.utterances=2", "sensitivity.method=mse", "calib.rotation=hadamard"))
	must(t, err)
	s, err := r.Sensitivity(context.Background())
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, stage.RotatedDir)); err != nil {
		t.Errorf("the model was not rotated: %v", err)
	}
	for _, d := range s.Damages {
		if four := strings.HasPrefix(d.Scheme, "int4"); d.Total() <= 0 || four != (d.Total() > 1e-4) {
			t.Errorf("%s as %s: %g nats per frame", d.Path, d.Scheme, d.Total())
		}
	}
}
