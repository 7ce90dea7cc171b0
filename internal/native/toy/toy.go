// Package toy is a matrix format for tests of internal/native and of what runs foreign formats on it: floats whose
// products round their input to multiples of a step.
package toy

// #cgo CFLAGS: -O2 -Wall -I${SRCDIR}/..
// #cgo LDFLAGS: -lm
// #include <stdlib.h>
// #include "toy.h"
import "C"

import (
	"math"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
)

// Matrix holds w [rows, cols]. Its products read x rounded to multiples of 1/step, prepared once for all that share the
// step, and are cut at multiples of 32 rows; with step 0 x is read as it is, and the cuts are at multiples of 4. free
// ends the memory.
func Matrix(rows, cols int, w []float32, step int) (m *native.Matrix, free func(), err error) {
	d := (*C.toy)(C.calloc(1, C.sizeof_toy))
	d.w, d.step = (*C.float)(C.malloc(C.size_t(4*len(w)))), C.int(step)
	copy(unsafe.Slice((*float32)(d.w), len(w)), w)
	free = func() {
		C.free(unsafe.Pointer(d.w))
		C.free(unsafe.Pointer(d))
	}
	m, err = native.Foreign(unsafe.Pointer(C.toy_format(C.int(step))), rows, cols, unsafe.Pointer(d))
	return m, free, err
}

// Round is what products of a step read of x.
func Round(x float32, step int) float32 {
	if step == 0 {
		return x
	}
	return float32(math.RoundToEven(float64(x*float32(step)))) / float32(step)
}

// Prepared is the number of rows that have been prepared so far.
func Prepared() int { return int(C.toy_prepared()) }
