package stage

import (
	"context"
	"math"
	"testing"

	"github.com/qakd/qakd/internal/memory"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// The estimate is within 25 % of what the stage takes with a batch that is large beside the program.
func TestCalibrationMemoryEstimate(t *testing.T) {
	if err := memory.ResetPeak(); err != nil {
		t.Skip(err)
	}
	tensor.Trim()
	r := begin(t, "calib.utterances=64", "eval.batch=64")
	m, err := talker.New(r.Teacher.Config)
	check(t, err)
	plan, err := qat.NewPlan(m, r.Experiment.Quant)
	check(t, err)
	want, err := r.CalibrationMemory(m, plan)
	check(t, err)
	want.Total -= want.Teacher // which is there already: it is in what the process has
	check(t, memory.ResetPeak())
	_, err = r.Student()
	check(t, err)
	_, err = r.Calibrate(context.Background())
	check(t, err)
	got, err := memory.PeakAnonymous()
	check(t, err)
	t.Logf("%.1f MiB estimated, %.1f measured: %+v", mib(want.Total), mib(got), want)
	if math.Abs(float64(want.Total-got)) > 0.25*float64(got) {
		t.Errorf("%.1f MiB estimated, %.1f measured", mib(want.Total), mib(got))
	}
	if block := want.Grams + want.Activations; block < want.Process {
		t.Errorf("the block takes %.1f MiB, no more than the process: too little to be seen", mib(block))
	}
}
