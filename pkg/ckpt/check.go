package ckpt

import (
	"fmt"
	"slices"
	"strings"
)

// MismatchError lists every difference between a checkpoint and a model.
type MismatchError struct {
	Missing    []string // wanted, not there
	Unexpected []string // there, not wanted
	Misshaped  []string // "name: shape [2 3], want [3 2]" or the same for dtype
}

// most is how many differences of one kind are printed: a checkpoint of another model has hundreds.
const most = 40

// Error lists the differences, one per line, under their counts.
func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ckpt: %d missing, %d unexpected, %d mis-shaped tensors",
		len(e.Missing), len(e.Unexpected), len(e.Misshaped))
	list := func(what string, names []string) {
		for _, n := range names[:min(most, len(names))] {
			fmt.Fprintf(&b, "\n  %s %s", what, n)
		}
		if rest := len(names) - most; rest > 0 {
			fmt.Fprintf(&b, "\n  %s … and %d more", what, rest)
		}
	}
	list("missing", e.Missing)
	list("unexpected", e.Unexpected)
	list("mis-shaped", e.Misshaped)
	return b.String()
}

// AnyFloat is the DType of a tensor that Check wants in any of the float types that weights are stored in.
const AnyFloat = "F64, F32, F16 or BF16"

// Check compares the tensors of a checkpoint with those that a model wants and
// returns nil or a *MismatchError with every missing, unexpected and mis-shaped
// tensor. A want with an empty DType accepts any, one with AnyFloat those that it
// names; any other DType must be equal.
func Check(have, want []Info) error {
	byName := make(map[string]Info, len(have))
	for _, h := range have {
		byName[h.Name] = h
	}
	e := &MismatchError{}
	wanted := make(map[string]bool, len(want))
	for _, w := range want {
		wanted[w.Name] = true
		h, ok := byName[w.Name]
		switch {
		case !ok:
			e.Missing = append(e.Missing, fmt.Sprintf("%s %v", w.Name, w.Shape))
		case !slices.Equal(h.Shape, w.Shape):
			e.Misshaped = append(e.Misshaped, fmt.Sprintf("%s: shape %v, want %v", w.Name, h.Shape, w.Shape))
		case !accepts(w.DType, h.DType):
			e.Misshaped = append(e.Misshaped, fmt.Sprintf("%s: dtype %s, want %s", w.Name, h.DType, w.DType))
		}
	}
	for _, h := range have {
		if !wanted[h.Name] {
			e.Unexpected = append(e.Unexpected, fmt.Sprintf("%s %v", h.Name, h.Shape))
		}
	}
	if len(e.Missing)+len(e.Unexpected)+len(e.Misshaped) == 0 {
		return nil
	}
	slices.Sort(e.Missing)
	slices.Sort(e.Unexpected)
	slices.Sort(e.Misshaped)
	return e
}

func accepts(want, have string) bool {
	_, float := lanes[have]
	return want == "" || want == have || want == AnyFloat && float
}
