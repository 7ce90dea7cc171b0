package tensor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	if err := SetThreads(1); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	abandon = os.Getenv(abandonEnv) != ""
	os.Exit(m.Run())
}

// run is Run for a body that reports its own failures.
func run(t *testing.T, f func(s *Scope)) {
	t.Helper()
	must(t, Run(func(s *Scope) error {
		f(s)
		return nil
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func floats(t *testing.T, x *ts.Tensor) []float32 {
	t.Helper()
	v, err := Floats(x)
	must(t, err)
	return v
}

func wantFloats(t *testing.T, what string, x *ts.Tensor, want ...float32) {
	t.Helper()
	if got := floats(t, x); !slices.Equal(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// wantError wants a one-line *OpError that says every one of parts.
func wantError(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	var op *OpError
	if !errors.As(err, &op) {
		t.Errorf("%s: error %v, want an *OpError", what, err)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s: error %q does not say %q", what, err, p)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: error has more than one line: %q", what, err)
	}
}

// live counts gotch's tensors that are not freed yet. Nothing else may use gotch meanwhile.
func live() int { return len(ts.ExistingTensors) }
