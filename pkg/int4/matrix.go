package int4

// #include "int4.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/quant"
)

// Matrix is a packed weight [rows, cols].
type Matrix struct {
	c      C.nat_int4
	scheme quant.WeightScheme
	strips []byte
	own    bool // strips are this package's memory, which Close frees
}

// Supports tells why the kernels cannot compute with a weight [n, k] of a scheme; nil if they can: 4 bits, in groups of 32
// or 128.
func Supports(n, k int64, sch quant.WeightScheme) error {
	if sch.Bits != 4 || sch.Granularity != quant.PerGroup || sch.GroupSize != 32 && sch.GroupSize != 128 {
		return fmt.Errorf("int4: scheme %v, want int4 in groups of 32 or 128", sch)
	}
	if n < 1 || k < 1 || n > 1<<28 || k > 1<<24 {
		return fmt.Errorf("int4: a weight [%d, %d]", n, k)
	}
	_, _, err := sch.ParamShape(n, k)
	return err
}

// Size is the bytes of a weight [n, k]'s strips.
func Size(n, k int64, sch quant.WeightScheme) (int64, error) {
	if err := Supports(n, k, sch); err != nil {
		return 0, err
	}
	c := describe(n, k, sch)
	return int64(C.int4_size(&c)), nil
}

func describe(n, k int64, sch quant.WeightScheme) C.nat_int4 {
	c := C.nat_int4{rows: C.int(n), cols: C.int(k), group: C.int(sch.GroupSize)}
	if !sch.Symmetric {
		c.asym = 1
	}
	return c
}

// At is the matrix of strips that somebody else has: memory outside Go's, such as a mapped file, that stays where it is
// as long as the matrix is used. It should begin on a multiple of 64 bytes.
func At(strips []byte, n, k int64, sch quant.WeightScheme) (*Matrix, error) {
	size, err := Size(n, k, sch)
	if err != nil {
		return nil, err
	}
	if int64(len(strips)) != size {
		return nil, fmt.Errorf("int4: %d bytes for a weight [%d, %d] of %v, want %d", len(strips), n, k, sch, size)
	}
	m := &Matrix{c: describe(n, k, sch), scheme: sch.Normal(), strips: strips}
	m.c.strips = (*C.uint8_t)(unsafe.SliceData(strips))
	return m, nil
}

// create is a matrix in memory of its own, which is still 0.
func create(n, k int64, sch quant.WeightScheme) (*Matrix, error) {
	size, err := Size(n, k, sch)
	if err != nil {
		return nil, err
	}
	strips, err := native.Memory(size)
	if err != nil {
		return nil, err
	}
	m, err := At(strips, n, k, sch)
	if err != nil {
		return nil, err
	}
	m.own = true
	return m, nil
}

// SetInput says how the input is quantized: not at all (W4A16), or to 4 or 8 bits per token or by a static scale on the
// grid (W4A4, W4A8). A new matrix is W4A16. Descriptions that there are stay as they are.
func (m *Matrix) SetInput(a quant.ActivationScheme, scale float32) error {
	if err := a.CheckScale(scale); err != nil {
		return fmt.Errorf("int4: %w", err)
	}
	m.c.input = C.nat_activation{mode: C.int(a.Mode)}
	if a.Mode != quant.ActivationNone {
		m.c.input.qmax, m.c.input.scale = C.float(a.QMax()), C.float(scale)
	}
	return nil
}

// Scheme is the weight's.
func (m *Matrix) Scheme() quant.WeightScheme { return m.scheme }

// Shape is rows and columns.
func (m *Matrix) Shape() (n, k int64) { return int64(m.c.rows), int64(m.c.cols) }

// Bytes are the strips, where they lie.
func (m *Matrix) Bytes() []byte { return m.strips }

// Close frees what is the matrix's own. Descriptions of it must not be used any more.
func (m *Matrix) Close() {
	if m == nil {
		return
	}
	if m.own {
		native.FreeMemory(m.strips)
	}
	m.strips, m.c.strips, m.own = nil, nil, false
}

var errClosed = errors.New("int4: used after Close")
