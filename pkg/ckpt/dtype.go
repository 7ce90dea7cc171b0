package ckpt

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// dtypeSizes are the element sizes in bytes of the format's types.
var dtypeSizes = map[string]int64{
	"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
	"I64": 8, "I32": 4, "I16": 2, "I8": 1,
	"U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}

// DTypeSize returns the bytes of one element of a safetensors dtype such as
// "BF16"; an unknown dtype is an error that lists the known ones.
func DTypeSize(dtype string) (int64, error) {
	if n, ok := dtypeSizes[dtype]; ok {
		return n, nil
	}
	known := make([]string, 0, len(dtypeSizes))
	for name := range dtypeSizes {
		known = append(known, name)
	}
	slices.Sort(known)
	return 0, fmt.Errorf("unknown dtype %q (known: %s)", dtype, strings.Join(known, " "))
}

// Info describes one tensor of a checkpoint.
type Info struct {
	Name  string  // full key, e.g. talker.model.layers.0.self_attn.q_proj.weight
	DType string  // safetensors name: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL ...
	Shape []int64 // row-major; empty for a scalar
	Bytes int64   // size of the data: elements times element size
}

// Elements returns the product of the shape: 1 for a scalar.
func (i Info) Elements() int64 {
	n := int64(1)
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// String formats an Info as "name BF16 [4 8]".
func (i Info) String() string { return fmt.Sprintf("%s %s %v", i.Name, i.DType, i.Shape) }

// byteSize returns the bytes of a tensor, or an error for a negative dimension,
// an unknown dtype or a size that does not fit into 63 bits.
func byteSize(dtype string, shape []int64) (int64, error) {
	n, err := DTypeSize(dtype)
	if err != nil {
		return 0, err
	}
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
	}
	if slices.Contains(shape, 0) {
		return 0, nil // before the overflow check: [0, 2^62] is empty, not too large
	}
	for _, d := range shape {
		if n > math.MaxInt64/d {
			return 0, fmt.Errorf("shape %v of %s overflows 63 bits", shape, dtype)
		}
		n *= d
	}
	return n, nil
}
