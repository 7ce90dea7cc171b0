package bitalloc

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	_ "github.com/qakd/qakd/internal/testkit/fixedseed"
	"pgregory.net/rapid"
)

// bruteForce looks at every choice.
func bruteForce(parts [][]Option, budget int64) (best Allocation, fits bool) {
	choice := make([]int, len(parts))
	for {
		if a := sum(parts, choice); a.Bytes <= budget && (!fits || a.Damage < best.Damage || a.Damage == best.Damage && a.Bytes < best.Bytes) {
			a.Choice = append([]int(nil), choice...)
			best, fits = a, true
		}
		i := 0
		for ; i < len(choice); i++ {
			if choice[i]++; choice[i] < len(parts[i]) {
				break
			}
			choice[i] = 0
		}
		if i == len(choice) {
			return best, fits
		}
	}
}

func drawParts(t *rapid.T) [][]Option {
	parts := make([][]Option, rapid.IntRange(0, 6).Draw(t, "parts"))
	for i := range parts {
		parts[i] = make([]Option, rapid.IntRange(1, 4).Draw(t, "options"))
		for j := range parts[i] {
			parts[i][j] = Option{
				Bytes: rapid.Int64Range(0, 40).Draw(t, "bytes"),
				// Few values, so that options and whole choices tie; and fractions, so that sums round.
				Damage: rapid.OneOf(rapid.Map(rapid.IntRange(0, 5), func(i int) float64 { return float64(i) }), rapid.Float64Range(0, 3)).Draw(t, "damage"),
			}
		}
	}
	return parts
}

// Solve is what looking at every choice finds, to the bit, in damage and in bytes; where nothing fits it names the floor.
func TestSolveIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts, budget := drawParts(t), rapid.Int64Range(0, 200).Draw(t, "budget")
		want, fits := bruteForce(parts, budget)
		got, err := Solve(parts, budget)
		if !fits {
			var floor *FloorError
			if !errors.As(err, &floor) || floor.Budget != budget {
				t.Fatalf("nothing fits, error %v", err)
			}
			if _, err := Solve(parts, floor.Floor); err != nil {
				t.Fatalf("at its own floor: %v", err)
			}
			if floor.Floor > 0 {
				if _, fits := bruteForce(parts, floor.Floor-1); fits {
					t.Fatalf("the floor is %d, and something smaller fits", floor.Floor)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if again := sum(parts, got.Choice); again.Bytes != got.Bytes || again.Damage != got.Damage {
			t.Fatalf("%+v sums up to %d bytes and damage %v", got, again.Bytes, again.Damage)
		}
		if got.Damage != want.Damage || got.Bytes != want.Bytes {
			t.Fatalf("%+v, every choice looked at %+v", got, want)
		}
	})
}

// schemes are the options of layers of a model: 4.5, 4.125, 8.5, 8.125 and 16 bits a weight, with a damage that falls about
// as measured ones do.
func schemes(r *rand.Rand, layers int) [][]Option {
	shapes := []int64{1 << 20, 2 << 20, 3 << 20, 6 << 20}
	parts := make([][]Option, layers)
	for i := range parts {
		n := shapes[r.IntN(len(shapes))]
		size := math.Exp(2 * r.NormFloat64())
		noisy := func(d float64) float64 { return d * size * (0.8 + 0.4*r.Float64()) }
		parts[i] = []Option{
			{n*33/64 + 300, noisy(1.3)}, {n*9/16 + 300, noisy(1)},
			{n*65/64 + 300, noisy(0.005)}, {n*17/16 + 300, noisy(0.004)}, {2*n + 100, 0},
		}
	}
	return parts
}

// As many layers as a model has: solved, within the bound that a price of bytes gives, and never worse with more budget.
func TestSolveModel(t *testing.T) {
	parts := schemes(rand.New(rand.NewPCG(1, 2)), 400)
	var floor, all int64
	for _, p := range parts {
		floor, all = floor+p[0].Bytes, all+p[4].Bytes
	}
	last, useful := math.Inf(1), make([][]int, len(parts))
	for i := range parts {
		useful[i] = undominated(parts[i])
	}
	for step := range int64(41) {
		budget := floor + (all-floor)*step/40
		a, err := Solve(parts, budget)
		if err != nil {
			t.Fatal(err)
		}
		greedy := spend(parts, useful, atPrice(parts, useful, priceOf(parts, useful, budget)), budget)
		bound := 0.0
		price := priceOf(parts, useful, budget)
		for i, j := range atPrice(parts, useful, price) {
			bound += parts[i][j].Damage + price*float64(parts[i][j].Bytes)
		}
		bound -= price * float64(budget)
		switch {
		case a.Bytes > budget || a.Damage > last || a.Damage > greedy.Damage || a.Damage < bound-1e-9:
			t.Errorf("budget %d: %d bytes, damage %g; %g with less, %g by greed, at least %g", budget, a.Bytes, a.Damage, last, greedy.Damage, bound)
		case budget == all && a.Damage != 0:
			t.Errorf("with room for everything the damage is %g", a.Damage)
		}
		last = a.Damage
	}
}

// More budget never does more damage, on small problems too, where steps are coarse.
func TestSolveIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts, last := drawParts(t), math.Inf(1)
		for budget := int64(0); budget < 250; budget += rapid.Int64Range(1, 40).Draw(t, "more") {
			a, err := Solve(parts, budget)
			if err != nil {
				if !math.IsInf(last, 1) {
					t.Fatalf("less budget was enough: %v", err)
				}
				continue
			}
			if a.Damage > last {
				t.Fatalf("budget %d: damage %v, less budget had %v", budget, a.Damage, last)
			}
			last = a.Damage
		}
	})
}

func TestSolveRefuses(t *testing.T) {
	for want, parts := range map[string][][]Option{
		"part 1 has no options":          {{{1, 1}}, {}},
		"part 0, option 1: -1 bytes":     {{{1, 1}, {-1, 1}}},
		"part 0, option 0: 1 bytes with": {{{1, math.NaN()}}},
	} {
		if _, err := Solve(parts, 100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := search([][]Option{{{1, 1}, {2, 0}}, {{1, 1}, {3, 0}}}, [][]int{{0, 1}, {0, 1}}, 4, 1); !errors.Is(err, errTooMany) {
		t.Errorf("error past the limit: %v", err)
	}
}

func BenchmarkSolve(b *testing.B) {
	for _, layers := range []int{71, 250, 1000} {
		parts := schemes(rand.New(rand.NewPCG(3, 4)), layers)
		b.Run(fmt.Sprint(layers), func(b *testing.B) {
			for b.Loop() {
				if _, err := Solve(parts, int64(layers)*2<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
