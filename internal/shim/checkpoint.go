package shim

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime/cgo"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sugarme/gotch/ts"
)

// Segment is a function of its inputs, which it borrows, and of parameters that it closes over. The caller owns its
// results.
type Segment func(in []*ts.Tensor) ([]*ts.Tensor, error)

var segments atomic.Int64

// LiveSegments counts the segments that a graph still holds.
func LiveSegments() int64 { return segments.Load() }

// Panic is a Go panic inside a segment. It had to be caught, because it must not cross C++ frames.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string {
	return fmt.Sprintf("panic in a recomputed segment: %v\n\n%s", p.Value, p.Stack)
}

// A segment's error crosses C++ as the text of an exception that holds its number here.
var (
	failures      sync.Map // int64 to error
	failureNumber atomic.Int64
)

const failureMark = "segment failure "

func storeFailure(err error) *C.char {
	n := failureNumber.Add(1)
	failures.Store(n, err)
	return C.CString(failureMark + strconv.FormatInt(n, 10))
}

// segmentFailure is the error that a segment returned, or nil when message is none of a segment's.
func segmentFailure(message string) error {
	number, ok := strings.CutPrefix(message, failureMark)
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return nil
	}
	if e, ok := failures.LoadAndDelete(n); ok {
		return e.(error)
	}
	return nil
}

//export goSegment
func goSegment(h C.uintptr_t, ins *C.T, nin C.int, outs *C.T, nout C.int, err **C.char) (rc C.int) {
	in := make([]*ts.Tensor, nin)
	for i, p := range unsafe.Slice(ins, nin) {
		in[i] = wrap(p)
	}
	defer func() {
		for _, t := range in {
			t.Drop()
		}
		if r := recover(); r != nil {
			*err = storeFailure(&Panic{Value: r, Stack: debug.Stack()})
			rc = -1
		}
	}()
	out, e := cgo.Handle(h).Value().(Segment)(in)
	defer func() {
		for _, t := range out {
			if t != nil {
				t.Drop()
			}
		}
	}()
	if e == nil {
		e = check(out, int(nout))
	}
	if e != nil {
		*err = storeFailure(e)
		return -1
	}
	o := unsafe.Slice(outs, nout)
	for i, t := range out {
		o[i] = C.shim_clone(raw(t))
	}
	return 0
}

func check(out []*ts.Tensor, want int) error {
	if len(out) != want {
		return fmt.Errorf("segment returned %d tensors, want %d", len(out), want)
	}
	for i, t := range out {
		if raw(t) == nil {
			return fmt.Errorf("tensor %d of the segment's results is nil or dropped", i)
		}
	}
	return nil
}

//export goSegmentFree
func goSegmentFree(h C.uintptr_t) {
	cgo.Handle(h).Delete()
	segments.Add(-1)
}

// Checkpoint runs f without a graph and again in the backward pass, so that its activations need not be kept. An error
// of f, also one in the backward pass, comes back as it is; a panic as *Panic.
func Checkpoint(f Segment, nout int, ins ...*ts.Tensor) ([]*ts.Tensor, error) {
	if nout < 1 {
		return nil, fmt.Errorf("segment with %d results, want at least one", nout)
	}
	h := cgo.NewHandle(f)
	segments.Add(1)
	in, res := raws(ins), make([]C.T, nout)
	var e *C.char
	rc := C.shim_checkpoint(first(res), C.int(nout), C.uintptr_t(h), first(in), C.int(len(in)), &e)
	keep(ins...)
	if err := failure(rc, e); err != nil {
		return nil, err
	}
	out := make([]*ts.Tensor, nout)
	for i, r := range res {
		out[i] = wrap(r)
	}
	return out, nil
}
