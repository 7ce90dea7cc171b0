package experiment_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/experiment"
)

// warmth is a configuration that is no experiment.
type warmth struct {
	Degrees float64 `toml:"degrees"`
	On      bool    `toml:"on"`
	Kept    int     `toml:"kept"`
}

func (w warmth) Validate() error {
	if w.Degrees < 0 {
		return errors.New("degrees are negative")
	}
	return nil
}

// Settings lie over what is there, the last one on top; what was not set stays. Each slip is told, as one of the command
// line, and the result is validated.
func TestOverlay(t *testing.T) {
	w := warmth{Degrees: 1, Kept: 7}
	if err := experiment.Overlay(&w, []string{"degrees=2", "on=true", "degrees = 3.5"}); err != nil {
		t.Fatal(err)
	}
	if want := (warmth{3.5, true, 7}); w != want {
		t.Errorf("%+v, want %+v", w, want)
	}
	if err := experiment.Overlay(&w, nil); err != nil || w.Kept != 7 {
		t.Errorf("no settings: %v, %+v", err, w)
	}
	for want, sets := range map[string][]string{
		`unknown key, did you mean "degrees"?`: {"degree=1"},
		"want true or false":                   {"on=maybe"},
		"want an integer":                      {"kept=1.5"},
		"want key=value":                       {"kept"},
		"degrees are negative":                 {"degrees=-1"},
		"-set kept":                            {"on=maybe", "kept=x"}, // both are told
	} {
		err := experiment.Overlay(&warmth{}, sets)
		if err == nil || !strings.Contains(err.Error(), want) || experiment.ExitCode(err) != experiment.ExitUsage {
			t.Errorf("%q: error %v, code %d; want %q, a usage error", sets, err, experiment.ExitCode(err), want)
		}
	}
}
