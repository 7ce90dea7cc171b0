package native

// #include <stdlib.h>
// #include "native.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Transform is what happens to the input of products before anything else, or to the rows of a decoder. Matrices that read
// one input share the work where they share the Transform.
type Transform struct{ c *C.nat_transform }

// Rotation is the matrix D·H·D along blocks (QuaRot §3): H is the orthonormal Walsh–Hadamard matrix of size 2^k, or its
// Kronecker product with a Hadamard matrix of size 12, that of pkg/nn's Hadamard.
type Rotation struct {
	Block int       // 2^k or 12·2^k numbers; 0 for no rotation
	Signs []float32 // D, [Block], which is copied; nil for none
}

func (r Rotation) check() error {
	run := r.Block
	if run > 0 && run%3 == 0 && run%4 == 0 {
		run /= 12
	}
	if run < 0 || run&(run-1) != 0 {
		return fmt.Errorf("native: a Hadamard block of %d, want 2^k or 12·2^k", r.Block)
	}
	if r.Signs != nil && len(r.Signs) != r.Block {
		return fmt.Errorf("native: %d signs for a Hadamard block of %d", len(r.Signs), r.Block)
	}
	return nil
}

// NewTransform divides by divisor [cols] (copied; nil for no division), then rotates.
func NewTransform(divisor []float32, r Rotation) (*Transform, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	t := &Transform{(*C.nat_transform)(C.calloc(1, C.sizeof_nat_transform))}
	if t.c == nil {
		return nil, errMemory
	}
	t.c.block = C.int(r.Block)
	for _, v := range []struct {
		to   **C.float
		from []float32
	}{{&t.c.divisor, divisor}, {&t.c.signs, r.Signs}} {
		if v.from == nil {
			continue
		}
		if *v.to = vector(v.from); *v.to == nil {
			t.Close()
			return nil, errMemory
		}
	}
	t.c.cols = C.int(len(divisor))
	return t, nil
}

// Close frees the transform; matrices that have it must not be used any more.
func (t *Transform) Close() {
	if t.c != nil {
		C.free(unsafe.Pointer(t.c.divisor))
		C.free(unsafe.Pointer(t.c.signs))
		C.free(unsafe.Pointer(t.c))
		t.c = nil
	}
}

// Apply transforms one row x in place.
func (t *Transform) Apply(x []float32) error {
	if err := t.fits(len(x)); err != nil {
		return err
	}
	C.nat_transform_row(t.c, floats(x), C.int(len(x)), floats(x))
	return nil
}

// fits tells whether the transform is one of rows of so many numbers.
func (t *Transform) fits(cols int) error {
	if t.c.divisor != nil && int(t.c.cols) != cols || t.c.block > 0 && cols%int(t.c.block) != 0 {
		return fmt.Errorf("native: a transform of %d divisors and blocks of %d for %d columns", t.c.cols, t.c.block, cols)
	}
	return nil
}

// SetTransform gives products a transform of their input; nil for none.
func (m *Matrix) SetTransform(t *Transform) error {
	m.c.transform = nil
	if t == nil {
		return nil
	}
	if err := t.fits(int(m.c.cols)); err != nil {
		return err
	}
	m.c.transform = t.c
	return nil
}
