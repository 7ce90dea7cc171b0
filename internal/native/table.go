package native

// #include <stdlib.h>
// #include "table.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// NewTable describes a matrix of symmetric 4- or 8-bit codes, as checkpoints store embedding tables: words [rows,
// ceil(cols·bits/32)] hold codes from the lowest bits on, each larger by half of the range, and scale [rows, groups],
// which is copied, has one for each cols/groups codes of a row. Words are memory outside Go's, as NewMatrix's is. Rows are
// looked up quickly; products are slow.
func NewTable(bits, rows, cols int, words unsafe.Pointer, scale []float32) (*Matrix, error) {
	groups := len(scale) / max(rows, 1)
	if bits != 4 && bits != 8 || words == nil || groups < 1 || len(scale) != rows*groups || cols%groups != 0 {
		return nil, fmt.Errorf("native: a table %d×%d of %d bits with %d scales at %v, want 4 or 8 bits, groups that divide the width and memory", rows, cols, bits, len(scale), words)
	}
	t := (*C.nat_table)(C.calloc(1, C.sizeof_nat_table))
	if t == nil {
		return nil, errMemory
	}
	t.words, t.scale, t.bits, t.groups = (*C.uint32_t)(words), vector(scale), C.int(bits), C.int(groups)
	free := func() {
		C.free(unsafe.Pointer(t.scale))
		C.free(unsafe.Pointer(t))
	}
	if t.scale == nil {
		free()
		return nil, errMemory
	}
	m, err := Foreign(unsafe.Pointer(&C.nat_table_format), rows, cols, unsafe.Pointer(t))
	if err != nil {
		free()
		return nil, err
	}
	m.free = free
	return m, nil
}
