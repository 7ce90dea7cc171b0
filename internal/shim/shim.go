// Package shim is the C++ that gotch lacks, on the same at::Tensor objects: autograd with explicit roots and gradients,
// a straight-through function, recomputation, AdamW, fused fake quantization, quantized linear layers as one
// function each, norm, gate, attention and KL as one function each, products by the faster library, an allocator that
// reuses memory, and the runtime's settings (seed, threads, CUDA).
//
// Arguments are borrowed, results are owned by the caller. The functions keep their arguments alive until they return;
// they do not lock the OS thread: package tensor does.
package shim

// The compiler and linker flags are in cgo_flags.go, which set-up writes: they depend on the libtorch that it found.

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"runtime"
	"unsafe"

	"github.com/sugarme/gotch/ts"
)

func failure(rc C.int, e *C.char) error {
	if rc == 0 {
		return nil
	}
	defer C.free(unsafe.Pointer(e))
	message := C.GoString(e)
	if err := segmentFailure(message); err != nil {
		return err
	}
	return errors.New(message)
}

func raw(t *ts.Tensor) C.T {
	if t == nil {
		return nil
	}
	return C.T(t.Ctensor())
}

func raws(l []*ts.Tensor) []C.T {
	r := make([]C.T, len(l))
	for i, t := range l {
		r[i] = raw(t)
	}
	return r
}

func wrap(p C.T) *ts.Tensor { return ts.FromCtensor(unsafe.Pointer(p)) }

func first(l []C.T) *C.T {
	if len(l) == 0 {
		return nil
	}
	return &l[0]
}

// keep marks the last use of ts: their finalizers cannot run before it.
func keep(ts ...*ts.Tensor) { runtime.KeepAlive(ts) }

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// Backward accumulates the gradients of outs, seeded with grads (nil: ones for scalars), into inputs' .grad, or into
// that of every leaf when inputs is empty.
func Backward(outs, grads []*ts.Tensor, retain, create bool, inputs []*ts.Tensor) error {
	o, g, in := raws(outs), raws(grads), raws(inputs)
	var e *C.char
	rc := C.shim_backward(first(o), first(g), C.int(len(o)), cbool(retain), cbool(create), first(in), C.int(len(in)), &e)
	keep(outs...)
	keep(grads...)
	keep(inputs...)
	return failure(rc, e)
}

// Gradient is a handle to t's gradient, or nil when it has none.
func Gradient(t *ts.Tensor) (*ts.Tensor, error) {
	var out C.T
	var e *C.char
	rc := C.shim_gradient(&out, raw(t), &e)
	keep(t)
	if err := failure(rc, e); err != nil || out == nil {
		return nil, err
	}
	return wrap(out), nil
}

// SetGradient replaces t's gradient; g nil means none.
func SetGradient(t, g *ts.Tensor) error {
	var e *C.char
	rc := C.shim_set_gradient(raw(t), raw(g), &e)
	keep(t, g)
	return failure(rc, e)
}

// GradMode sets recording of the calling OS thread and returns what it was.
func GradMode(on bool) bool { return C.shim_grad_mode(cbool(on)) != 0 }

// GradEnabled tells whether the calling OS thread records.
func GradEnabled() bool { return C.shim_grad_enabled() != 0 }

// StraightThrough is value in the forward pass; the gradient goes to proxy, which has value's shape.
func StraightThrough(value, proxy *ts.Tensor) (*ts.Tensor, error) {
	var out C.T
	var e *C.char
	rc := C.shim_straight_through(&out, raw(value), raw(proxy), &e)
	keep(value, proxy)
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	return wrap(out), nil
}

// Linear is x·wᵀ + b, b nil for none, by the faster of libtorch's libraries.
func Linear(x, w, b *ts.Tensor) (*ts.Tensor, error) {
	var out C.T
	var e *C.char
	rc := C.shim_linear(&out, raw(x), raw(w), raw(b), &e)
	keep(x, w, b)
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	return wrap(out), nil
}

// Seed seeds libtorch's generators like torch.manual_seed.
func Seed(seed int64) error {
	var e *C.char
	return failure(C.shim_seed(C.uint64_t(uint64(seed)), &e), e)
}

// SetThreads sets libtorch's intra-op threads, on every OS thread from its next Enter on.
func SetThreads(n int) error {
	var e *C.char
	return failure(C.shim_set_threads(C.int(n), &e), e)
}

// Threads is the calling OS thread's number of intra-op threads.
func Threads() int { return int(C.shim_threads()) }

// ShareThreads sets the intra-op threads of the calling OS thread alone, 0 for SetThreads', and returns what it was.
func ShareThreads(n int) int { return int(C.shim_share_threads(C.int(n))) }

// Enter brings the calling OS thread's settings up to date and returns its identity.
func Enter() uintptr { return uintptr(C.shim_enter()) }

// Thread is the identity of the calling OS thread, unique among those alive.
func Thread() uintptr { return uintptr(C.shim_thread()) }

// Trim gives the memory of freed tensors, which is kept for the next ones, back to the system.
func Trim() { C.shim_trim() }

// Held is the bytes that tensors on the CPU hold, and the most since the last call with reset.
func Held(reset bool) (now, peak int64) {
	var n, p C.int64_t
	C.shim_held(&n, &p, cbool(reset))
	return int64(n), int64(p)
}

// LoadCUDA loads libtorch's CUDA half into the process. It must run before the first query for CUDA.
func LoadCUDA() error {
	var e *C.char
	return failure(C.shim_load_cuda(&e), e)
}
