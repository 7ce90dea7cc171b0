package int4

// #include <stdlib.h>
// #include "int4.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
)

// Apply computes y [M, rows] = x [M, cols]·Wᵀ (+ bias) on the calling thread, by the kernels of that name; "" is the
// fastest set of this CPU.
func (m *Matrix) Apply(kernels string, x, y []float32) error {
	k, err := kernelsOf(kernels)
	if err != nil {
		return err
	}
	rows, cols := m.Shape()
	M := int64(len(x)) / cols
	switch {
	case m.c.strips == nil:
		return errClosed
	case M < 1 || int64(len(x)) != M*cols || int64(len(y)) != M*rows:
		return fmt.Errorf("int4: %d values to %d through a weight [%d, %d]", len(x), len(y), rows, cols)
	}
	room, err := native.Memory(int64(C.int4_room(&m.c, C.int(M))))
	if err != nil {
		return err
	}
	defer native.FreeMemory(room)
	C.int4_apply(k, &m.c, (*C.float)(unsafe.SliceData(x)), C.int(M), unsafe.Pointer(unsafe.SliceData(room)), (*C.float)(unsafe.SliceData(y)))
	return nil
}
