package int4

// #include "int4.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/qakd/qakd/pkg/quant"
)

// Pack lays out codes q [n, k] as pkg/quant computes them, in memory of the matrix's own.
func Pack(q []int16, n, k int64, p quant.QParams, sch quant.WeightScheme) (*Matrix, error) {
	words, err := quant.PackCodes(q, n, k, sch)
	if err != nil {
		return nil, err
	}
	return FromWords(&quant.Packed{Scheme: sch, N: n, K: k, Words: words, Params: p})
}

// FromWords lays out a weight in pkg/quant's own packed form.
func FromWords(w *quant.Packed) (*Matrix, error) {
	if err := checkWords(w); err != nil {
		return nil, err
	}
	m, err := create(w.N, w.K, w.Scheme)
	if err != nil {
		return nil, err
	}
	m.fill(w)
	return m, nil
}

// Put lays out w in memory of the caller, of [Size] bytes: a file under way, or the memory of [At].
func Put(strips []byte, w *quant.Packed) error {
	if err := checkWords(w); err != nil {
		return err
	}
	m, err := At(strips, w.N, w.K, w.Scheme)
	if err != nil {
		return err
	}
	m.c.strips = nil // may be Go's memory
	m.fill(w)
	return nil
}

func checkWords(w *quant.Packed) error {
	if err := Supports(w.N, w.K, w.Scheme); err != nil {
		return err
	}
	if int64(len(w.Words)) != w.N*w.K/8 {
		return fmt.Errorf("int4: %d words for a weight [%d, %d], want %d", len(w.Words), w.N, w.K, w.N*w.K/8)
	}
	return w.Params.Validate(w.Scheme, w.N, w.K)
}

func (m *Matrix) fill(w *quant.Packed) {
	zero := make([]uint8, len(w.Params.ZeroPoint))
	for i, z := range w.Params.ZeroPoint {
		zero[i] = uint8(z)
	}
	C.int4_from_words(&m.c, (*C.uint8_t)(unsafe.SliceData(m.strips)), (*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(w.Words))),
		(*C.float)(unsafe.SliceData(w.Params.Scale)), (*C.uint8_t)(unsafe.SliceData(zero)), 0, C.int((w.N+15)/16))
}

// Words are codes and parameters in pkg/quant's packed form, as they were laid out.
func (m *Matrix) Words() (*quant.Packed, error) {
	if m.c.strips == nil {
		return nil, errClosed
	}
	n, k := m.Shape()
	rows, groups, err := m.scheme.ParamShape(n, k)
	if err != nil {
		return nil, err
	}
	w := &quant.Packed{Scheme: m.scheme, N: n, K: k, Words: make([]int32, n*k/8)}
	w.Params = quant.QParams{Rows: rows, Groups: groups, Scale: make([]float32, rows*groups)}
	var zero []uint8
	if !m.scheme.Symmetric {
		zero = make([]uint8, rows*groups)
	}
	C.int4_to_words(&m.c, (*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(w.Words))),
		(*C.float)(unsafe.SliceData(w.Params.Scale)), (*C.uint8_t)(unsafe.SliceData(zero)))
	for _, z := range zero {
		w.Params.ZeroPoint = append(w.Params.ZeroPoint, int32(z))
	}
	return w, nil
}

// Codes are the codes q [rows, cols] of pkg/quant.
func (m *Matrix) Codes() ([]int16, error) {
	w, err := m.Words()
	if err != nil {
		return nil, err
	}
	return w.Codes()
}

// QParams are the scales and zero points.
func (m *Matrix) QParams() (quant.QParams, error) {
	w, err := m.Words()
	if err != nil {
		return quant.QParams{}, err
	}
	return w.Params, nil
}

// Dequantize is the dense weight [rows, cols], the bits of the fake-quantized one.
func (m *Matrix) Dequantize() ([]float32, error) {
	if m.c.strips == nil {
		return nil, errClosed
	}
	n, k := m.Shape()
	out := make([]float32, n*k)
	C.int4_dequantize(&m.c, 0, C.int(n), (*C.float)(unsafe.SliceData(out)))
	return out, nil
}
