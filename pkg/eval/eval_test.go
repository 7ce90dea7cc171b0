package eval_test

import (
	"math"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/talker"
)

func speech(frames int, ended bool) talker.Speech {
	return talker.Speech{Codes: make([][]int32, frames), Ended: ended}
}

func TestCompare(t *testing.T) {
	teacher := []talker.Speech{speech(10, true), speech(8, true), speech(12, true), speech(10, true)}
	tests := []struct {
		name   string
		speech []talker.Speech
		ratio  float64
		errs   float64
	}{
		{"the teacher itself", teacher, 1, 0},
		{"one never ends", []talker.Speech{speech(10, true), speech(8, false), speech(12, true), speech(10, true)}, 1, 0.25},
		{"one under a quarter", []talker.Speech{speech(2, true), speech(8, true), speech(12, true), speech(10, true)}, 32.0 / 40, 0.25},
		{"exactly a quarter and four times", []talker.Speech{speech(40, true), speech(2, true), speech(3, true), speech(10, true)}, 55.0 / 40, 0},
		{"one over four times", []talker.Speech{speech(41, true), speech(8, true), speech(12, true), speech(10, true)}, 71.0 / 40, 0.25},
	}
	for _, tt := range tests {
		d, err := eval.Compare(tt.speech, teacher)
		if err != nil || math.Abs(d.Ratio-tt.ratio) > 1e-12 || d.EOSErrors != tt.errs {
			t.Errorf("%s: %+v, %v; want ratio %v, errors %v", tt.name, d, err, tt.ratio, tt.errs)
		}
	}
	for name, bad := range map[string][2][]talker.Speech{
		"nothing":     {nil, nil},
		"one missing": {teacher[:3], teacher},
		"mute":        {{speech(1, true)}, {speech(0, true)}},
	} {
		if _, err := eval.Compare(bad[0], bad[1]); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

func TestConfigListsAllViolations(t *testing.T) {
	err := eval.Config{FreeRun: -1}.Validate()
	if err == nil {
		t.Fatal("an empty configuration is valid")
	}
	for _, key := range []string{"utterances is 0", "batch is 0", "free_run is -1", "free_batch is 0", "max_frames is 0"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%v does not name %q", err, key)
		}
	}
	if err := eval.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}
