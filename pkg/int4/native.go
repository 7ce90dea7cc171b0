package int4

// #cgo CFLAGS: -I${SRCDIR}/../../internal/native
// #include <stdlib.h>
// #include "format.h"
import "C"

import (
	"errors"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
)

// Native describes the matrix for internal/native's pools and decoders, with a set of kernels out of [Kernels], "" for the
// fastest, and a bias [rows] or nil. The caller closes the description, and uses it only while the matrix lives and its
// input stays as it is.
func (m *Matrix) Native(kernels string, bias []float32) (*native.Matrix, error) {
	k, err := kernelsOf(kernels)
	if err != nil {
		return nil, err
	}
	if m.c.strips == nil {
		return nil, errClosed
	}
	c, err := m.describe(k)
	if err != nil {
		return nil, err
	}
	d, err := native.Foreign(unsafe.Pointer(&C.int4_format), int(m.c.rows), int(m.c.cols), unsafe.Pointer(c))
	if err != nil || bias == nil {
		return d, err
	}
	if err := d.SetBias(bias); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// describe is m.c with kernels in C's memory, where Foreign's matrices find it until Close.
func (m *Matrix) describe(k *C.int4_kernels) (*C.nat_int4, error) {
	m.describing.Lock()
	defer m.describing.Unlock()
	want := m.c
	want.kernels = k
	for _, p := range m.described {
		if c := (*C.nat_int4)(p); *c == want {
			return c, nil
		}
	}
	c := (*C.nat_int4)(C.malloc(C.sizeof_nat_int4))
	if c == nil {
		return nil, errors.New("int4: no memory for a description")
	}
	*c = want
	m.described = append(m.described, unsafe.Pointer(c))
	return c, nil
}

func (m *Matrix) forget() {
	m.describing.Lock()
	defer m.describing.Unlock()
	for _, p := range m.described {
		C.free(p)
	}
	m.described = nil
}
