package testkit

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestDifference(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name       string
		got, want  []float64
		atol, rtol float64
		message    string
	}{
		{"equal", []float64{1, nan, inf, -inf}, []float64{1, nan, inf, -inf}, 0, 0, ""},
		{"absolute", []float64{0.1, 0}, []float64{0, 0}, 0.1, 0, ""},
		{"relative", []float64{101, -99}, []float64{100, -100}, 0, 0.01, ""},
		{"length", []float64{1}, []float64{1, 2}, 1, 1, "1 elements, want 2"},
		{"worst", []float64{1.2, 4, 3.05}, []float64{1, 2, 3}, 0.1, 0, "2 of 3 elements are off; the worst, [1], is 4, want 2: 20 times the allowed 0.1"},
		{"NaN", []float64{nan, 9}, []float64{0, 0}, 1, 0, "[0], is NaN"},
		{"wanted NaN", []float64{0}, []float64{nan}, 1, 1, "want NaN"},
		{"other infinity", []float64{-inf}, []float64{inf}, 1, 1, "is -Inf, want +Inf"},
		{"lost infinity", []float64{1e300}, []float64{inf}, 1, 1, "want +Inf"},
	} {
		got := difference(c.got, c.want, c.atol, c.rtol)
		if (c.message == "") != (got == "") || !strings.Contains(got, c.message) {
			t.Errorf("%s: %q, want %q", c.name, got, c.message)
		}
	}
}

// recorder is a testing.TB that only notes failures.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper()           {}
func (r *recorder) Error(args ...any) { r.failures = append(r.failures, fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(f, args...))
}

func TestGradients(t *testing.T) {
	err := tensor.Run(func(s *tensor.Scope) error {
		x, w := s.FromFloats([]float32{0.3, -1.2, 2}, 3), s.FromFloats([]float32{1, 0.5, -2}, 3)
		before := [2]*ts.Tensor{x, w}
		leaves := []Leaf{{"x", &x}, {"w", &w}}
		right := func(s *tensor.Scope) *ts.Tensor { return s.Sum(s.Mul(s.Tanh(x), s.Exp(w))) }
		Gradients(t, 1e-5, 1e-8, right, leaves...)

		// A gradient of the wrong size, and one of nothing, must be seen, each by the leaf's name.
		r := &recorder{TB: t}
		Gradients(r, 1e-5, 1e-8, func(s *tensor.Scope) *ts.Tensor {
			return s.Sum(s.Mul(s.StraightThrough(s.Square(x), x), s.Detach(w)))
		}, leaves...)
		if got := strings.Join(r.failures, "\n"); len(r.failures) != 2 || !strings.Contains(got, "gradient of x: 3 of 3") || !strings.Contains(got, "gradient of w: 3 of 3") {
			t.Errorf("failures %q, want one for each leaf", r.failures)
		}
		r = &recorder{TB: t}
		Gradients(r, 1e-5, 1e-8, func(s *tensor.Scope) *ts.Tensor { return s.Reshape(x, 2) }, leaves...)
		if len(r.failures) != 1 || !strings.Contains(r.failures[0], "reshape([3])") {
			t.Errorf("failures %q, want the failed operation", r.failures)
		}
		if x != before[0] || w != before[1] {
			t.Error("the leaves were not put back")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
