package testkit

import (
	"fmt"
	"math"
	"testing"
)

// Close fails t unless |got - want| ≤ atol + rtol·|want| for every element. NaN equals NaN, an infinity itself. The report
// names the worst element and how far it is out.
func Close[E float32 | float64](t testing.TB, what string, got, want []E, atol, rtol float64) {
	t.Helper()
	if message := difference(got, want, atol, rtol); message != "" {
		t.Errorf("%s: %s", what, message)
	}
}

// difference describes how got differs from want, or is empty.
func difference[E float32 | float64](got, want []E, atol, rtol float64) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d elements, want %d", len(got), len(want))
	}
	worst, at, outside := 1.0, -1, 0 // in units of what is allowed
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		if g == w || math.IsNaN(g) && math.IsNaN(w) {
			continue
		}
		ratio := math.Abs(g-w) / (atol + rtol*math.Abs(w))
		if !(ratio <= 1) { // also NaN
			outside++
			if at < 0 || ratio > worst || math.IsNaN(ratio) {
				worst, at = ratio, i
			}
		}
	}
	if outside == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d elements are off; the worst, [%d], is %v, want %v: %.3g times the allowed %.3g",
		outside, len(want), at, got[at], want[at], worst, atol+rtol*math.Abs(float64(want[at])))
}
