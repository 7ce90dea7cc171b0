package shim

// #include "fakequant.h"
import "C"

import (
	"runtime"

	"github.com/sugarme/gotch/ts"
)

// FakeQuantize is (clamp(r(x/scale) + zero, qmin, qmax) - zero) * scale, with r half to even, in one pass each way. All
// are contiguous float32 on the CPU; scale (and zero, or nil) have one element for each group of consecutive elements of
// x. Gradients are those of LSQ (Esser et al. 2020, §2.1).
func FakeQuantize(x, scale, zero *ts.Tensor, qmin, qmax float64) (*ts.Tensor, error) {
	var out C.T
	var e *C.char
	rc := C.shim_fake_quantize(&out, raw(x), raw(scale), raw(zero), C.double(qmin), C.double(qmax), &e)
	runtime.KeepAlive([]*ts.Tensor{x, scale, zero})
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	return wrap(out), nil
}

// QuantizeTokens quantizes each last-dimension token of x, contiguous float32 on the CPU, with its own scale
// max|x|/qmax, at least 2^-126. No gradient is recorded.
func QuantizeTokens(x *ts.Tensor, qmax float64) (*ts.Tensor, error) {
	var out C.T
	var e *C.char
	rc := C.shim_quantize_tokens(&out, raw(x), C.double(qmax), &e)
	runtime.KeepAlive(x)
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	return wrap(out), nil
}
