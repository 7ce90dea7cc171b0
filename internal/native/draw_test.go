package native

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// draw is a plain second form of Draw: everything sorted, everything in float64.
func draw(scores []float32, s Sampling, u float64) int {
	type choice struct {
		at    int
		score float32
		p     float64
	}
	var live []choice
	for i, v := range scores {
		live = append(live, choice{at: i, score: v / float32(s.Temperature)})
	}
	best := func(a, b choice) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.at, a.at)) }
	slices.SortFunc(live, best)
	if s.TopK > 0 && s.TopK < len(live) {
		least := live[s.TopK-1].score
		live = slices.DeleteFunc(live, func(c choice) bool { return c.score < least })
	}
	share := func() {
		sum := 0.0
		for i, c := range live {
			live[i].p = math.Exp(float64(c.score - live[0].score))
			sum += live[i].p
		}
		for i := range live {
			live[i].p /= sum
		}
	}
	share()
	for mass := 0.0; s.TopP < 1 && len(live) > 1; live = live[:len(live)-1] {
		if mass += live[len(live)-1].p; mass > 1-s.TopP {
			break
		}
	}
	share()
	slices.SortFunc(live, func(a, b choice) int { return a.at - b.at })
	for _, c := range live {
		if u < c.p {
			return c.at
		}
		u -= c.p
	}
	return live[len(live)-1].at
}

func TestDraw(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 3000 {
		n := 1 + r.IntN(90)
		scores := normal(r, n, 2)
		if r.IntN(2) == 0 { // with ties
			for i := range scores {
				scores[i] = float32(math.Round(float64(scores[i])))
			}
		}
		s := Sampling{Sample: true, Temperature: 0.3 + r.Float64(), TopK: r.IntN(n + 2), TopP: []float64{1, 0.9, 0.4, 0.01}[r.IntN(4)]}
		u := r.Float64()
		want := draw(scores, s, u)
		if got, err := Draw(slices.Clone(scores), s, u); err != nil || got != want {
			t.Fatalf("%+v at %v of %v: drew %d (%v), want %d", s, u, scores, got, err, want)
		}
		if got, err := Draw(slices.Clone(scores), Sampling{}, u); err != nil || got != slices.Index(scores, slices.Max(scores)) {
			t.Fatalf("best of %v: %d (%v)", scores, got, err)
		}
	}
}

// Masked scores are never drawn.
func TestDrawMasked(t *testing.T) {
	inf := float32(math.Inf(-1))
	for _, u := range []float64{0, 0.3, 0.999999} {
		if k, err := Draw([]float32{inf, 1, inf, 2, inf}, Sampling{Sample: true, Temperature: 1, TopK: 5, TopP: 1}, u); err != nil || k != 1 && k != 3 {
			t.Errorf("drew %d (%v) at %v, want 1 or 3", k, err, u)
		}
	}
}
