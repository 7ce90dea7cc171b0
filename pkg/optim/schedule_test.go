package optim_test

import (
	"math"
	"testing"

	"github.com/qakd/qakd/pkg/optim"
)

func TestScheduleStepByStep(t *testing.T) {
	for _, c := range []struct {
		name string
		s    optim.Schedule
		n    int
		want []float64
	}{
		// cos(0) = 1, cos(π/4) = √2/2, cos(π/2) = 0, …
		{"warm-up and cosine", optim.Schedule{WarmupSteps: 4}, 8,
			[]float64{0.25, 0.5, 0.75, 1, 1, 0.5 + math.Sqrt2/4, 0.5, 0.5 - math.Sqrt2/4, 0, 0}},
		{"floor", optim.Schedule{MinLRRatio: 0.1}, 2, []float64{1, 0.55, 0.1, 0.1}},
		{"constant", optim.Schedule{MinLRRatio: 1}, 3, []float64{1, 1, 1, 1}},
		{"only warm-up", optim.Schedule{WarmupSteps: 4}, 2, []float64{0.25, 0.5, 0.75, 1, 0}},
	} {
		for k, want := range c.want {
			if got := c.s.Factor(k, c.n); math.Abs(got-want) > 1e-15 {
				t.Errorf("%s: factor of update %d is %v, want %v", c.name, k, got, want)
			}
		}
	}
}
