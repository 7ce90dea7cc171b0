package rng_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/qakd/qakd/internal/rng"
)

// draw takes numbers through every method that training uses.
func draw(s *rng.Stream, n int) []float64 {
	out := make([]float64, 0, 4*n)
	for range n {
		out = append(out, s.Float64(), s.NormFloat64(), float64(s.IntN(1000)), float64(s.Perm(7)[0]))
	}
	return out
}

func equal(a, b []float64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestResumeContinues(t *testing.T) {
	whole := rng.New(7, "data")
	first, want := draw(whole, 15), draw(whole, 15)

	half := rng.New(7, "data")
	if !equal(draw(half, 15), first) {
		t.Fatal("same seed and name, different numbers")
	}
	saved, err := json.Marshal(map[string]*rng.Stream{"data": half})
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]*rng.Stream
	if err := json.Unmarshal(saved, &back); err != nil {
		t.Fatal(err)
	}
	if !equal(draw(back["data"], 15), want) {
		t.Error("the restored stream goes on differently")
	}
}

func TestStreamsDiffer(t *testing.T) {
	seen := map[uint64]string{}
	add := func(what string, s *rng.Stream) {
		v := s.Uint64()
		if old, ok := seen[v]; ok {
			t.Errorf("%s equals %s", what, old)
		}
		seen[v] = what
	}
	for _, seed := range []int64{0, 1, -1, 42} {
		for _, name := range []string{"", "a", "b", "ab"} {
			add(name, rng.New(seed, name))
		}
		for p := range uint64(3) {
			for step := range uint64(3) {
				add("at", rng.At(seed, p, step))
			}
		}
	}
}

// TestPinned freezes the derivation: a change would silently alter every
// recorded run and the embedded teacher's corpus.
func TestPinned(t *testing.T) {
	if got := rng.New(42, "data").Uint64(); got != 14245023015445583321 {
		t.Errorf("New: %d", got)
	}
	if got := rng.At(42, 3, 100).Uint64(); got != 4751225583306885957 {
		t.Errorf("At: %d", got)
	}
	if got := rng.Seed(42, "torch"); got != 6147194279962712019 {
		t.Errorf("Seed: %d", got)
	}
}

func TestCounterStreamsAreUniform(t *testing.T) {
	const n = 20000
	sum := 0.0
	for step := range uint64(n) {
		sum += rng.At(1, 2, step).Float64()
	}
	// the mean of n uniform numbers has deviation 1/sqrt(12 n) = 0.002
	if mean := sum / n; math.Abs(mean-0.5) > 0.01 {
		t.Errorf("mean %v of first draws, want 0.5", mean)
	}
}

func TestBadState(t *testing.T) {
	for _, text := range []string{"xyz", "00", ""} {
		if err := new(rng.Stream).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q accepted", text)
		}
	}
}
