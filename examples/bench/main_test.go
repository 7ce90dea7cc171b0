package main

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/stage"
)

func small(sets ...string) options {
	return options{
		Flags: experiment.Flags{Experiment: "demo-w4a8", Set: append([]string{"threads=1", "device=cpu"}, sets...)},
		train: true, steps: 1, batch: 2, frames: 6, text: 4, chunk: 3,
	}
}

func measured(t *testing.T, o options, quantized bool) *result {
	t.Helper()
	e, _, err := stage.Resolve(o.Flags)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWork(e, o)
	if err != nil {
		t.Fatal(err)
	}
	defer tensor.Trim()
	r, err := w.measure(context.Background(), "x", quantized)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every way to learn is measured, and the parts are about the whole.
func TestMeasure(t *testing.T) {
	for name, sets := range map[string][]string{
		"teacher": nil,
		"cache":   {"distill.cache.keep=top"},
		"labels":  {"distill.kl_code0=0", "distill.kl_codes=0", "distill.hidden=0", "distill.eos=0", "distill.ce_codes=1"},
	} {
		for _, quantized := range []bool{true, false} {
			r := measured(t, small(sets...), quantized)
			if len(r.Losses) != 1 || math.IsNaN(r.Losses[0]) {
				t.Errorf("%s: losses %v, want one", name, r.Losses)
			}
			if parts := r.Teacher + r.Forward + r.Backward + r.Optimizer; parts > r.Update || r.Forward == 0 || r.Backward == 0 || r.Optimizer == 0 {
				t.Errorf("%s: %+v, want parts that are not more than the update", name, r)
			}
			if (r.Teacher > 0) != (name == "teacher") {
				t.Errorf("%s: the teacher took %v", name, r.Teacher)
			}
		}
	}
}

func TestFlags(t *testing.T) {
	o := small()
	o.train, o.steps, o.frames = false, 0, -1
	err := run(context.Background(), o)
	for _, want := range []string{"want -train or -decode", "-steps is 0", "-frames is -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
}

// Forms of the demo's teacher are measured in one run; nothing of it is infinite, which JSON does not know.
func TestDecode(t *testing.T) {
	o := small()
	o.train, o.decode, o.JSON = false, true, true
	o.threads = 1
	if err := decode(context.Background(), o); err != nil {
		t.Error(err)
	}
}
