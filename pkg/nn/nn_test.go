package nn

import (
	"math"
	"os"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// run calls f in a context and fails the test on an error.
func run(t *testing.T, f func(c *Context)) {
	t.Helper()
	if err := Run(func(c *Context) error { f(c); return nil }); err != nil {
		t.Fatal(err)
	}
}

func floats(t *testing.T, x *ts.Tensor) []float32 {
	t.Helper()
	v, err := tensor.Floats(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantClose checks |got - want| ≤ tol·(1 + |want|).
func wantClose(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= tol*(1+math.Abs(want[i]))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// initialized gives m random weights for the time of the test.
func initialized(t *testing.T, m Module) {
	t.Helper()
	if err := Init(m, 7, 0.4); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(m) })
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
