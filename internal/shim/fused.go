package shim

// #include <stdlib.h>
// #include "fused.h"
import "C"

import "github.com/sugarme/gotch/ts"

// Fuses tells whether all of x are on the CPU and of one dtype that the functions below take: float32, or with half also
// bfloat16. None may be empty.
func Fuses(half bool, x ...*ts.Tensor) bool {
	p := raws(x)
	ok := C.shim_fuses(first(p), C.int(len(p)), cbool(half)) != 0
	keep(x...)
	return ok
}

// RMSNorm is w · x/√(mean(x²) + eps) over the last dimension of x [..., n], w [n], in float32 or bfloat16.
func RMSNorm(x, w *ts.Tensor, eps float64) (*ts.Tensor, error) {
	return one(func(out *C.T, e **C.char) C.int { return C.shim_rms_norm(out, raw(x), raw(w), C.double(eps), e) }, x, w)
}

// Gated is silu(a)·b of one shape, in float32 or bfloat16.
func Gated(a, b *ts.Tensor) (*ts.Tensor, error) {
	return one(func(out *C.T, e **C.char) C.int { return C.shim_gated(out, raw(a), raw(b), e) }, a, b)
}

// Divergence is KL(teacher ‖ student) of each row of float32 logits [..., V], both times f: [...], in nats. Nothing flows to
// the teacher.
func Divergence(teacher, student *ts.Tensor, f float64) (*ts.Tensor, error) {
	return one(func(out *C.T, e **C.char) C.int {
		return C.shim_divergence(out, raw(teacher), raw(student), C.double(f), e)
	}, teacher, student)
}

// Heads is the input of Attention, all float32.
type Heads struct {
	Q, K, V          *ts.Tensor // [B,T,heads·D], [B,T,kvs·D] twice
	QGain, KGain     *ts.Tensor // [D], of the RMSNorm of each head
	Cos, Sin         *ts.Tensor // [B or 1,1,T,D]
	Mask             *ts.Tensor // added to the scores, [B or 1,1,T,T]; nil: none
	Queries, KVHeads int64
	Eps              float64
}

// Attention is softmax(q·kᵀ/√D + mask)·v of normed and rotated heads, [B,T,heads·D]. Nothing flows to angles and mask.
func Attention(h Heads) (*ts.Tensor, error) {
	a := C.shim_attention_args{
		q: raw(h.Q), k: raw(h.K), v: raw(h.V), wq: raw(h.QGain), wk: raw(h.KGain), cos: raw(h.Cos), sin: raw(h.Sin), mask: raw(h.Mask),
		heads: C.int64_t(h.Queries), kvs: C.int64_t(h.KVHeads), eps: C.double(h.Eps),
	}
	return one(func(out *C.T, e **C.char) C.int { return C.shim_attention(out, &a, e) }, h.Q, h.K, h.V, h.QGain, h.KGain, h.Cos, h.Sin, h.Mask)
}

// one wraps the result of a call with these arguments.
func one(call func(out *C.T, e **C.char) C.int, args ...*ts.Tensor) (*ts.Tensor, error) {
	var out C.T
	var e *C.char
	rc := call(&out, &e)
	keep(args...)
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	return wrap(out), nil
}
