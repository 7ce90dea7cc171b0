package shim

// #include <stdlib.h>
// #include "quantlinear.h"
import "C"

import (
	"runtime"
	"unsafe"

	"github.com/sugarme/gotch/ts"
)

// QuantWeight is a weight [N, K] with the masters that quantize it; each is contiguous on the CPU, W in float32 or
// bfloat16, the others in float32.
type QuantWeight struct {
	W, Scale        *ts.Tensor
	Pre, Zero, Bias *ts.Tensor // or nil; Pre is the scale that quantizes where Scale only dequantizes
	QMin, QMax      float64
	Factor          float64 // of the gradients of Scale, Pre and Zero
}

// QuantInput says how the input of QuantLinear is quantized.
type QuantInput struct {
	Token        bool       // each token (last dimension) with its own scale max|x|/QMax
	Scale        *ts.Tensor // or all with this one, float32 [1]; nil and not Token: not at all
	QMax, Factor float64
	Integer      bool // the products are those of codes
	BF16Backward bool // the products of the backward pass are in bfloat16
}

// QuantLinear is x·Wᵀ + b of the quantized input and each quantized weight, [..., K] to [..., N], in x's dtype (float32 or
// bfloat16), in one autograd function.
func QuantLinear(x *ts.Tensor, in QuantInput, weights []QuantWeight) ([]*ts.Tensor, error) {
	args := C.shim_quant_input{qmax: C.double(in.QMax), factor: C.double(in.Factor), integer: cbool(in.Integer), bf16_backward: cbool(in.BF16Backward)}
	switch {
	case in.Token:
		args.mode = C.SHIM_INPUT_TOKEN
	case in.Scale != nil:
		args.mode, args.scale = C.SHIM_INPUT_STATIC, raw(in.Scale)
	}
	list, outs := make([]C.shim_quant_weight, len(weights)), make([]C.T, len(weights))
	for i, w := range weights {
		list[i] = C.shim_quant_weight{
			w: raw(w.W), scale: raw(w.Scale), pre: raw(w.Pre), zero: raw(w.Zero), bias: raw(w.Bias),
			qmin: C.double(w.QMin), qmax: C.double(w.QMax), factor: C.double(w.Factor),
		}
	}
	var e *C.char
	rc := C.shim_quant_linear(&outs[0], raw(x), &args, &list[0], C.int(len(list)), &e)
	runtime.KeepAlive(x)
	runtime.KeepAlive(in)
	runtime.KeepAlive(weights)
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	ys := make([]*ts.Tensor, len(outs))
	for i, p := range outs {
		ys[i] = wrap(p)
	}
	return ys, nil
}

// QuantKernels is the set of quantization kernels in use: the best that this CPU can run, or SetQuantKernels'.
func QuantKernels() string { return C.GoString(C.shim_quant_kernels()) }

// SetQuantKernels chooses avx512vnni, avxvnni, avx512, avx2 or portable, or the best ("") again; false if this CPU cannot
// run it. All give the same bits.
func SetQuantKernels(name string) bool {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return C.shim_set_quant_kernels(c) == 0
}
