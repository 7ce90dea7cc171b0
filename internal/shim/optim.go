package shim

// #include "shim.h"
import "C"

import "github.com/sugarme/gotch/ts"

// AdamWStep are the numbers of one update of one parameter.
type AdamWStep struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	GradScale                          float64 // the gradient is multiplied by it first
	Step                               int64   // of this parameter; the first is 1
}

// AdamW updates param in place, in tensor operations, for devices whose memory internal/native/adamw cannot reach: from grad and the moments m and v, which are float32 and contiguous on param's device.
// master is the float32 weight of a param in another dtype, nil where param is float32 itself. In float32, with the
// coefficients computed in float64 and rounded once:
//
//	d = GradScale·grad
//	m = m + (d - m)·(1-Beta1)
//	v = v·Beta2 + d²·(1-Beta2)
//	w = w·(1 - LR·WeightDecay) - (m·LR/(1-Beta1^Step)) / (√v/√(1-Beta2^Step) + Eps)
//
// (Loshchilov and Hutter 2019, algorithm 2, with the decay decoupled as torch.optim.AdamW does it).
func AdamW(param, grad, master, m, v *ts.Tensor, s AdamWStep) error {
	a := C.shim_adamw_args{
		lr: C.double(s.LR), beta1: C.double(s.Beta1), beta2: C.double(s.Beta2), eps: C.double(s.Eps),
		weight_decay: C.double(s.WeightDecay), grad_scale: C.double(s.GradScale), step: C.int64_t(s.Step),
	}
	var e *C.char
	rc := C.shim_adamw(raw(param), raw(grad), raw(master), raw(m), raw(v), &a, &e)
	keep(param, grad, master, m, v)
	return failure(rc, e)
}

// SumSquares is Σ t², accumulated in float64; it is not finite exactly when an element is not.
func SumSquares(t *ts.Tensor) (float64, error) {
	var out C.double
	var e *C.char
	rc := C.shim_sum_squares(&out, raw(t), &e)
	keep(t)
	return float64(out), failure(rc, e)
}
