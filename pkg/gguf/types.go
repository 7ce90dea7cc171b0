package gguf

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Type is how the elements of a tensor are stored.
type Type uint32

// The types that this package reads and writes, by ggml's numbers.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q8_0 Type = 8
	I8   Type = 24
	I16  Type = 25
	I32  Type = 26
	I64  Type = 27
	F64  Type = 28
	BF16 Type = 30
)

// BlockSize is the number of columns that share a scale in Q4_0, Q4_1 and Q8_0.
const BlockSize = 32

var types = map[Type]struct {
	name            string
	elements, bytes int64 // of a block
}{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2}, F64: {"F64", 1, 8},
	I8: {"I8", 1, 1}, I16: {"I16", 1, 2}, I32: {"I32", 1, 4}, I64: {"I64", 1, 8},
	Q4_0: {"Q4_0", BlockSize, 18}, Q4_1: {"Q4_1", BlockSize, 20}, Q8_0: {"Q8_0", BlockSize, 34},
}

func (t Type) String() string {
	if k, ok := types[t]; ok {
		return k.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// TypeOf is the type of a plain safetensors dtype such as "BF16"; ok is false for one that ggml has not.
func TypeOf(dtype string) (t Type, ok bool) {
	for t, k := range types {
		if k.name == dtype && k.elements == 1 {
			return t, true
		}
	}
	return 0, false
}

func known() string {
	var names []string
	for t, k := range types {
		names = append(names, fmt.Sprintf("%d %s", uint32(t), k.name))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Size is the bytes of a tensor of this type, or an error for an unknown type, a shape that it cannot have, or a size that
// does not fit into 63 bits.
func (t Type) Size(shape []int64) (int64, error) {
	k, ok := types[t]
	if !ok {
		return 0, fmt.Errorf("unknown type %d (known: %s)", uint32(t), known())
	}
	if len(shape) < 1 || len(shape) > maxDims {
		return 0, fmt.Errorf("%d dimensions, want 1 to %d", len(shape), maxDims)
	}
	n := int64(1)
	for _, d := range shape {
		if d < 1 {
			return 0, fmt.Errorf("shape %v, want positive sizes", shape)
		}
		if n > math.MaxInt64/8/d {
			return 0, fmt.Errorf("shape %v of %v overflows 63 bits", shape, t)
		}
		n *= d
	}
	if row := shape[len(shape)-1]; row%k.elements != 0 {
		return 0, fmt.Errorf("shape %v: rows of %d are no whole blocks of %v, which have %d", shape, row, t, k.elements)
	}
	return n / k.elements * k.bytes, nil
}
