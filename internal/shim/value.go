package shim

// #include "shim.h"
import "C"

import "github.com/sugarme/gotch/ts"

const maxDims = 16

// Sizes are t's.
func Sizes(t *ts.Tensor) ([]int64, error) {
	var out [maxDims + 1]C.int64_t // the last one is their number
	var e *C.char
	rc := C.shim_sizes(raw(t), &out[0], maxDims, &e)
	keep(t)
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	sizes := make([]int64, out[maxDims])
	for i := range sizes {
		sizes[i] = int64(out[i])
	}
	return sizes, nil
}

// Item is the value of a one-element tensor of any dtype and device.
func Item(t *ts.Tensor) (float64, error) {
	var out C.double
	var e *C.char
	rc := C.shim_item(&out, raw(t), &e)
	keep(t)
	return float64(out), failure(rc, e)
}
