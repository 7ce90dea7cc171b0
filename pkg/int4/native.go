package int4

// #cgo CFLAGS: -I${SRCDIR}/../../internal/native
// #include "format.h"
import "C"

import (
	"unsafe"

	"github.com/qakd/qakd/internal/native"
)

// Native describes the matrix for internal/native's pools and decoders, with a set of kernels out of [Kernels], "" for the
// fastest, and a bias [rows] or nil. The caller closes the description, and uses it only while the matrix lives.
func (m *Matrix) Native(kernels string, bias []float32) (*native.Matrix, error) {
	k, err := kernelsOf(kernels)
	if err != nil {
		return nil, err
	}
	if m.c.strips == nil {
		return nil, errClosed
	}
	c := m.c
	c.kernels = k
	return native.ForeignCopy(unsafe.Pointer(&C.int4_format), int(c.rows), int(c.cols), unsafe.Pointer(&c), unsafe.Sizeof(c), bias)
}
