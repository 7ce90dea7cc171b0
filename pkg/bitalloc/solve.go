package bitalloc

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Option is one way to store a part.
type Option struct {
	Bytes  int64   // 0 or more
	Damage float64 // finite; the unit is the caller's
}

// Allocation is a choice for every part.
type Allocation struct {
	Choice []int // the number of the option, by part
	Bytes  int64
	Damage float64 // summed in the order of the parts
}

// FloorError says that no choice fits.
type FloorError struct {
	Budget int64
	Floor  int64 // bytes of the smallest choice
}

func (e *FloorError) Error() string {
	return fmt.Sprintf("bitalloc: a budget of %d bytes, but the smallest choice of all takes %d", e.Budget, e.Floor)
}

// Solve picks one option of each part so that the damage is least among all choices of at most budget bytes; of several such
// choices it is one of the fewest bytes. The same input gives the same choice. It is an error when nothing fits (*FloorError),
// when a part has no options, and when an option is out of its range.
func Solve(parts [][]Option, budget int64) (Allocation, error) {
	floor := int64(0)
	for i, options := range parts {
		if len(options) == 0 {
			return Allocation{}, fmt.Errorf("bitalloc: part %d has no options", i)
		}
		for j, o := range options {
			if o.Bytes < 0 || math.IsNaN(o.Damage) || math.IsInf(o.Damage, 0) {
				return Allocation{}, fmt.Errorf("bitalloc: part %d, option %d: %d bytes with damage %v, want 0 bytes or more and a finite damage", i, j, o.Bytes, o.Damage)
			}
		}
		floor += slices.MinFunc(options, func(a, b Option) int { return cmp.Compare(a.Bytes, b.Bytes) }).Bytes
	}
	if floor > budget {
		return Allocation{}, &FloorError{budget, floor}
	}
	useful := make([][]int, len(parts))
	for i, options := range parts {
		useful[i] = undominated(options)
	}
	return search(parts, useful, budget, maxStates)
}

// undominated are the options that no other beats or equals in both, by ascending bytes and so descending damage.
func undominated(options []Option) (list []int) {
	order := make([]int, len(options))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(options[a].Bytes, options[b].Bytes), cmp.Compare(options[a].Damage, options[b].Damage))
	})
	for _, j := range order {
		if len(list) == 0 || options[j].Damage < options[list[len(list)-1]].Damage {
			list = append(list, j)
		}
	}
	return list
}

// maxStates bounds the beginnings that are kept, 24 bytes each.
const maxStates = 1 << 24

// state is a beginning: the choice of option Of its last part, behind state Before of the parts ahead of it.
type state struct {
	bytes  int64
	damage float64
	before int32
	of     int32
}

var errTooMany = errors.New("bitalloc: too many allocations are undominated to compare them all: offer fewer options, or options whose sizes are multiples of a larger number")

// search is the dynamic program over beginnings, with bounds.
func search(parts [][]Option, useful [][]int, budget int64, limit int) (Allocation, error) {
	price := priceOf(parts, useful, budget)
	best := spend(parts, useful, atPrice(parts, useful, price), budget)
	rest, least := make([]float64, len(parts)+1), make([]int64, len(parts)+1) // of parts i, i+1, …
	slack := math.Abs(price) * float64(budget)
	for i := len(parts) - 1; i >= 0; i-- {
		reduced, largest := math.Inf(1), 0.0
		for _, j := range useful[i] {
			o := parts[i][j]
			reduced = min(reduced, o.Damage+price*float64(o.Bytes))
			largest = max(largest, math.Abs(o.Damage))
		}
		rest[i] = rest[i+1] + reduced
		least[i] = least[i+1] + parts[i][useful[i][0]].Bytes
		slack += largest
	}
	slack *= 1e-12 * float64(len(parts)+1) // the bound is a sum of rounded numbers
	layers, kept := make([][]state, len(parts)), 0
	front := []state{{before: -1}}
	for i := range parts {
		var next []state
		for at, s := range front {
			for _, j := range useful[i] {
				o := parts[i][j]
				n := state{s.bytes + o.Bytes, s.damage + o.Damage, int32(at), int32(j)}
				if n.bytes+least[i+1] > budget {
					break // the options to come are larger
				}
				if n.damage+rest[i+1]-price*float64(budget-n.bytes) <= best.Damage+slack {
					next = append(next, n)
				}
			}
		}
		front = frontier(next)
		layers[i] = front
		if kept += len(front); kept > limit {
			return Allocation{}, errTooMany
		}
	}
	return trace(layers, front), nil
}

// frontier keeps, by ascending bytes, the states that no other beats or equals in both.
func frontier(states []state) []state {
	slices.SortFunc(states, func(a, b state) int {
		return cmp.Or(cmp.Compare(a.bytes, b.bytes), cmp.Compare(a.damage, b.damage), cmp.Compare(a.before, b.before), cmp.Compare(a.of, b.of))
	})
	var out []state
	for _, s := range states {
		if len(out) == 0 || s.damage < out[len(out)-1].damage {
			out = append(out, s)
		}
	}
	return slices.Clip(out)
}

// trace follows the last state, of the least damage, back to the first part.
func trace(layers [][]state, last []state) Allocation {
	a := Allocation{Choice: make([]int, len(layers))}
	if len(layers) == 0 {
		return a
	}
	at := len(last) - 1
	a.Bytes, a.Damage = last[at].bytes, last[at].damage
	for i := len(layers) - 1; i >= 0; i-- {
		s := layers[i][at]
		a.Choice[i], at = int(s.of), int(s.before)
	}
	return a
}
