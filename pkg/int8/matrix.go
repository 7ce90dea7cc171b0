package int8

// #include "format.h"
import "C"

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
)

// Matrix is a packed weight [rows, cols].
type Matrix struct {
	c      C.nat_int8
	scheme quant.WeightScheme
	strips []byte
}

// widest is the most columns of a group whose sum of products of 8-bit codes surely fits int32.
const widest = 1 << 16

// Supports tells why the kernels cannot compute with a weight [n, k] of a scheme; nil if they can.
func Supports(n, k int64, sch quant.WeightScheme) error {
	if sch.Bits != 4 && sch.Bits != 8 {
		return fmt.Errorf("int8: scheme %v, want 4 or 8 bits", sch)
	}
	if n < 1 || k < 1 || n > 1<<28 || k > 1<<24 {
		return fmt.Errorf("int8: a weight [%d, %d]", n, k)
	}
	_, groups, err := sch.ParamShape(n, k)
	if err != nil {
		return fmt.Errorf("int8: %w", err)
	}
	if k/groups > widest {
		return fmt.Errorf("int8: %d columns share a scale, want at most %d", k/groups, widest)
	}
	return nil
}

// FromWords lays out a weight in pkg/quant's packed form. Scales are any finite numbers.
func FromWords(w *quant.Packed) (*Matrix, error) {
	rows, groups, err := check(w)
	if err != nil {
		return nil, err
	}
	m := &Matrix{scheme: w.Scheme.Normal()}
	m.c = C.nat_int8{rows: C.int(w.N), cols: C.int(w.K), group: C.int(w.K / groups)}
	if w.Scheme.Bits == 8 && !w.Scheme.Symmetric {
		m.c.asym = 1
	}
	if m.strips, err = native.Memory(int64(C.int8_size(&m.c))); err != nil {
		return nil, err
	}
	m.c.strips = (*C.uint8_t)(unsafe.SliceData(m.strips))
	each := C.int(1)
	if rows == 1 {
		each = 0
	}
	words, scale := (*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(w.Words))), (*C.float)(unsafe.SliceData(w.Params.Scale))
	var zero *C.int32_t
	if !w.Scheme.Symmetric {
		zero = (*C.int32_t)(unsafe.SliceData(w.Params.ZeroPoint))
	}
	const piece = 16
	strips := int(C.int8_strips(&m.c))
	err = tensor.Each((strips+piece-1)/piece, func(i int) error {
		C.int8_from_words(&m.c, C.int(w.Scheme.Bits), m.c.strips, words, scale, zero, each, C.int(piece*i), C.int(min(piece*(i+1), strips)))
		return nil
	})
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// check tells whether words and parameters are as many as the scheme wants, and in its range.
func check(w *quant.Packed) (rows, groups int64, err error) {
	if err := Supports(w.N, w.K, w.Scheme); err != nil {
		return 0, 0, err
	}
	rows, groups, err = w.Scheme.ParamShape(w.N, w.K)
	p, per := w.Params, w.Scheme.PerWord()
	switch want := rows * groups; {
	case err != nil:
	case int64(len(w.Words)) != w.N*((w.K+per-1)/per):
		err = fmt.Errorf("int8: %d words for a weight [%d, %d] of %v, want %d", len(w.Words), w.N, w.K, w.Scheme, w.N*((w.K+per-1)/per))
	case p.Rows != rows || p.Groups != groups || int64(len(p.Scale)) != want:
		err = fmt.Errorf("int8: %d scales [%d, %d] for a weight [%d, %d] of %v, want [%d, %d]", len(p.Scale), p.Rows, p.Groups, w.N, w.K, w.Scheme, rows, groups)
	case w.Scheme.Symmetric && len(p.ZeroPoint) > 0 || !w.Scheme.Symmetric && int64(len(p.ZeroPoint)) != want:
		err = fmt.Errorf("int8: %d zero points for %d scales of %v", len(p.ZeroPoint), want, w.Scheme)
	}
	if err != nil {
		return 0, 0, err
	}
	odd := func(s float32) bool { return math.IsNaN(float64(s)) || math.IsInf(float64(s), 0) }
	if i := slices.IndexFunc(p.Scale, odd); i >= 0 {
		return 0, 0, fmt.Errorf("int8: scale [%d, %d] is %v, want a finite one", int64(i)/groups, int64(i)%groups, p.Scale[i])
	}
	beyond := func(z int32) bool { return z < w.Scheme.QMin() || z > w.Scheme.QMax() }
	if i := slices.IndexFunc(p.ZeroPoint, beyond); i >= 0 {
		return 0, 0, fmt.Errorf("int8: zero point [%d, %d] is %d, want %d...%d", int64(i)/groups, int64(i)%groups, p.ZeroPoint[i], w.Scheme.QMin(), w.Scheme.QMax())
	}
	return rows, groups, nil
}

// SetInput says how the input is quantized: not at all, or to 4 or 8 bits per token or by a static scale on the grid. A new
// matrix takes floats. Descriptions that there are stay as they are.
func (m *Matrix) SetInput(a quant.ActivationScheme, scale float32) error {
	if err := a.CheckScale(scale); err != nil {
		return fmt.Errorf("int8: %w", err)
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

// Dequantize is the dense weight [rows, cols], the bits of the fake-quantized one.
func (m *Matrix) Dequantize() ([]float32, error) {
	if m.strips == nil {
		return nil, errClosed
	}
	n, k := m.Shape()
	out := make([]float32, n*k)
	C.int8_dequantize(&m.c, 0, C.int(n), (*C.float)(unsafe.SliceData(out)))
	return out, nil
}

// Native describes the matrix for internal/native's pools and decoders, with a set of kernels out of [Kernels], "" for the
// fastest, and a bias [rows] or nil. The caller closes the description, and uses it only while the matrix lives.
func (m *Matrix) Native(kernels string, bias []float32) (*native.Matrix, error) {
	k, err := kernelsOf(kernels)
	if err != nil {
		return nil, err
	}
	if m.strips == nil {
		return nil, errClosed
	}
	c := m.c
	c.kernels = k
	return native.ForeignCopy(unsafe.Pointer(&C.int8_format), int(c.rows), int(c.cols), unsafe.Pointer(&c), unsafe.Sizeof(c), bias)
}

// Close frees the weight. Descriptions of it must not be used any more.
func (m *Matrix) Close() {
	if m.strips != nil {
		native.FreeMemory(m.strips)
	}
	m.strips, m.c.strips = nil, nil
}

var errClosed = errors.New("int8: used after Close")
