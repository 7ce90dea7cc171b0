package native

// #include <stdlib.h>
// #include "native.h"
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"
)

// Kind is how numbers are stored.
type Kind int

// F32 and BF16 numbers, in the machine's byte order; INT8 ones with a float32 scale for each row, of caches only.
const (
	F32  Kind = C.NAT_F32
	BF16 Kind = C.NAT_BF16
	INT8 Kind = C.NAT_INT8
)

var (
	errClosed = errors.New("native: used after Close")
	errMemory = errors.New("native: out of memory")
)

// Matrix is a matrix [rows, cols] whose elements belong to somebody else.
type Matrix struct {
	c    C.nat_matrix
	size int64  // bytes of its own: packed weights
	free func() // the rest of its own, or nil
}

// NewMatrix describes rows×cols numbers of a kind at data, row after row: memory outside Go's, which must stay where it
// is as long as the matrix is used.
func NewMatrix(kind Kind, rows, cols int, data unsafe.Pointer) (*Matrix, error) {
	if kind != F32 && kind != BF16 || rows < 1 || cols < 1 || rows > 1<<28 || cols > 1<<24 || data == nil {
		return nil, fmt.Errorf("native: matrix %d×%d of kind %d at %v, want positive sizes, a kind and memory", rows, cols, kind, data)
	}
	return &Matrix{c: C.nat_matrix{kind: C.int(kind), rows: C.int(rows), cols: C.int(cols), data: data}}, nil
}

// Foreign describes a matrix that another package computes with: format is its table of functions (a nat_format of
// native.h), data the descriptor that these find in the matrix. Both are C memory, which must stay where it is as long
// as the matrix is used.
func Foreign(format unsafe.Pointer, rows, cols int, data unsafe.Pointer) (*Matrix, error) {
	if format == nil || data == nil || rows < 1 || cols < 1 || rows > 1<<28 || cols > 1<<24 {
		return nil, fmt.Errorf("native: foreign matrix %d×%d at %v with format %v, want positive sizes and memory", rows, cols, data, format)
	}
	f := (*C.nat_format)(format)
	if f.grain < 1 || f.grain&(f.grain-1) != 0 || f.room == nil || f.prepare == nil || f.product == nil || f.shares == nil || f.row == nil {
		return nil, fmt.Errorf("native: matrix format %q has grain %d, want a power of two and all of its functions", C.GoString(f.name), f.grain)
	}
	return &Matrix{c: C.nat_matrix{kind: C.NAT_FOREIGN, rows: C.int(rows), cols: C.int(cols), data: data, format: f}}, nil
}

// ForeignCopy is Foreign with a copy of a descriptor of size bytes, which Close frees, and a bias [rows] or nil.
func ForeignCopy(format unsafe.Pointer, rows, cols int, data unsafe.Pointer, size uintptr, bias []float32) (*Matrix, error) {
	own := C.malloc(C.size_t(size))
	if own == nil {
		return nil, errMemory
	}
	copy(unsafe.Slice((*byte)(own), size), unsafe.Slice((*byte)(data), size))
	m, err := Foreign(format, rows, cols, own)
	if err != nil {
		C.free(own)
		return nil, err
	}
	m.free = func() { C.free(own) }
	if bias == nil {
		return m, nil
	}
	if err := m.SetBias(bias); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Choose is the place of a name among those of sets of kernels, the slowest first; "" is the last one's.
func Choose(name string, names []string) (int, error) {
	if name == "" {
		return len(names) - 1, nil
	}
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("kernels %q, want one of %s (those that this CPU can run)", name, strings.Join(names, ", "))
}

// Format is the name of a foreign matrix's format; "" of others.
func (m *Matrix) Format() string {
	if m.c.format == nil {
		return ""
	}
	return C.GoString(m.c.format.name)
}

// SetBias adds v [rows] to each product. It is copied.
func (m *Matrix) SetBias(v []float32) error {
	if len(v) != int(m.c.rows) {
		return fmt.Errorf("native: a bias of %d for %d rows", len(v), m.c.rows)
	}
	C.free(unsafe.Pointer(m.c.bias))
	m.c.bias = vector(v)
	if m.c.bias == nil {
		return errMemory
	}
	return nil
}

// Pack adds a copy in 12 bits per weight, which products of few rows then read instead: a quarter fewer bytes, and the
// same numbers. It is a copy of this moment. false: the matrix stays as it is, because it is not bf16, its width is not
// a multiple of 128, its weights have too many different exponents, or the pool's kernels do not read packed weights.
func (m *Matrix) Pack(p *Pool) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.c == nil {
		return false, errClosed
	}
	if p.kernels.packed == 0 || m.size > 0 {
		return m.size > 0, nil
	}
	switch C.nat_pack(p.c, &m.c) {
	case 1:
		m.size = int64(C.nat_packed_size(m.c.rows, m.c.cols))
		return true, nil
	case 0:
		return false, nil
	}
	return false, errMemory
}

// Packed is the bytes of the packed copy; 0 without one.
func (m *Matrix) Packed() int64 { return m.size }

// Close frees what is the matrix's own: the bias, the packed copy, the scales of a table.
func (m *Matrix) Close() {
	if m == nil {
		return
	}
	C.free(unsafe.Pointer(m.c.bias))
	C.nat_packed_free(&m.c)
	m.c.bias, m.size = nil, 0
	if m.free != nil {
		m.free()
		m.free = nil
	}
}

// vector is a copy of v in C's memory; nil when there is none.
func vector(v []float32) *C.float {
	p := (*C.float)(C.malloc(C.size_t(4 * max(len(v), 1))))
	if p != nil {
		copy(unsafe.Slice((*float32)(p), len(v)), v)
	}
	return p
}

func floats(v []float32) *C.float { return (*C.float)(unsafe.SliceData(v)) }
