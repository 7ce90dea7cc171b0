package shim

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"runtime/cgo"
	"sync/atomic"
	"unsafe"

	"github.com/sugarme/gotch/ts"
)

// Segment is a function of its inputs (and of parameters that it closes over). It owns neither its inputs nor, after
// it returned, its results.
type Segment func(in []*ts.Tensor) ([]*ts.Tensor, error)

var segments atomic.Int64

// LiveSegments counts the segments that a graph still holds.
func LiveSegments() int64 { return segments.Load() }

//export goSegment
func goSegment(h C.uintptr_t, ins *C.T, nin C.int, outs *C.T, nout C.int, err **C.char) (rc C.int) {
	defer func() {
		if r := recover(); r != nil { // a Go panic must not cross C++ frames
			*err = C.CString(fmt.Sprint(r))
			rc = -1
		}
	}()
	in := make([]*ts.Tensor, nin)
	for i, p := range unsafe.Slice(ins, nin) {
		in[i] = wrap(p)
	}
	defer func() {
		for _, t := range in {
			t.Drop()
		}
	}()
	out, e := cgo.Handle(h).Value().(Segment)(in)
	if e == nil && len(out) != int(nout) {
		e = fmt.Errorf("segment returned %d tensors, want %d", len(out), nout)
	}
	if e != nil {
		*err = C.CString(e.Error())
		return -1
	}
	o := unsafe.Slice(outs, nout)
	for i, t := range out {
		o[i] = C.shim_clone(raw(t))
		t.Drop()
	}
	return 0
}

//export goSegmentFree
func goSegmentFree(h C.uintptr_t) {
	cgo.Handle(h).Delete()
	segments.Add(-1)
}

// Checkpoint runs f without a graph and again in the backward pass, so that its activations need not be kept. At least
// one input must require a gradient, or no graph is built.
func Checkpoint(f Segment, nout int, ins ...*ts.Tensor) ([]*ts.Tensor, error) {
	h := cgo.NewHandle(f)
	segments.Add(1)
	in, res := raws(ins), make([]C.T, nout)
	var e *C.char
	rc := C.shim_checkpoint(first(res), C.int(nout), C.uintptr_t(h), first(in), C.int(len(in)), &e)
	runtime.KeepAlive(ins)
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	out := make([]*ts.Tensor, nout)
	for i, r := range res {
		out[i] = wrap(r)
	}
	return out, nil
}
