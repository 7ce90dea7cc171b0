package tensor

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/sugarme/gotch/ts"
)

// Scope owns the results of operations until it ends. It belongs to one goroutine, whose OS thread is locked.
type Scope struct {
	parent  *Scope
	own     []*ts.Tensor
	scalars []*ts.Scalar
}

// OpError is a failed tensor operation.
type OpError struct {
	Op     string
	Shapes [][]int64 // of the tensor arguments
	Err    error
}

func (e *OpError) Error() string {
	if len(e.Shapes) == 0 {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s %v: %v", e.Op, e.Shapes, e.Err)
}

func (e *OpError) Unwrap() error { return e.Err }

// abandon makes scopes forget their tensors instead of keeping and dropping them. Only the stress test sets it, to
// show that the scopes are what keeps numbers right and memory flat.
var abandon bool

// Run calls f in a fresh scope on a locked OS thread and drops what the scope owns when f returns. A failed operation
// becomes f's error. Runs nest, on the same thread.
func Run(f func(s *Scope) error) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := new(Scope)
	defer Catch(&err)
	defer s.end()
	return f(s)
}

// Catch, deferred, turns a failed operation's panic into *err. Other panics pass.
func Catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case *OpError:
		*err = r
	default:
		panic(r)
	}
}

func (s *Scope) end() {
	for i := len(s.own) - 1; i >= 0; i-- {
		s.own[i].Drop() // fails never: it only frees
	}
	for _, v := range s.scalars {
		v.Drop()
	}
	s.own, s.scalars = nil, nil
	runtime.KeepAlive(s)
}

// Nest calls f with an inner scope that ends when f returns.
func (s *Scope) Nest(f func(in *Scope)) {
	in := &Scope{parent: s}
	defer in.end()
	f(in)
}

// Promote hands t, which s owns, to the scope around s.
func (s *Scope) Promote(t *ts.Tensor) *ts.Tensor { return s.parent.Own(s.Release(t)) }

// Own makes s responsible for t.
func (s *Scope) Own(t *ts.Tensor) *ts.Tensor {
	if t != nil && !abandon {
		s.own = append(s.own, t)
	}
	return t
}

// Release gives t to the caller: s no longer drops it. A t that s does not own is returned as it is.
func (s *Scope) Release(t *ts.Tensor) *ts.Tensor {
	for i := len(s.own) - 1; i >= 0; i-- {
		if s.own[i] == t {
			s.own = append(s.own[:i], s.own[i+1:]...)
			break
		}
	}
	return t
}

// Must owns the result of a gotch call, or panics with *OpError for Run to recover.
func (s *Scope) Must(t *ts.Tensor, err error) *ts.Tensor { return s.result("tensor", t, err) }

// Check panics with *OpError when err is not nil.
func (s *Scope) Check(op string, err error) {
	if err != nil {
		panic(&OpError{Op: op, Err: firstLine(err)})
	}
}

// Fail reports a misuse that an operation noticed itself.
func (s *Scope) Fail(op, format string, args ...any) {
	panic(&OpError{Op: op, Err: fmt.Errorf(format, args...)})
}

func (s *Scope) result(op string, t *ts.Tensor, err error, args ...*ts.Tensor) *ts.Tensor {
	if err != nil {
		panic(&OpError{Op: op, Shapes: shapes(args), Err: firstLine(err)})
	}
	runtime.KeepAlive(args)
	return s.Own(t)
}

// scalar keeps a number's C++ object as long as the scope.
func (s *Scope) scalar(v float64) *ts.Scalar {
	c := ts.FloatScalar(v)
	if !abandon {
		s.scalars = append(s.scalars, c)
	}
	return c
}

func (s *Scope) intScalar(v int64) *ts.Scalar {
	c := ts.IntScalar(v)
	if !abandon {
		s.scalars = append(s.scalars, c)
	}
	return c
}

func shapes(args []*ts.Tensor) [][]int64 {
	var out [][]int64
	for _, a := range args {
		if a == nil {
			continue
		}
		if size, err := a.Size(); err == nil {
			out = append(out, size)
		}
	}
	return out
}

// firstLine drops the C++ backtrace that gotch appends to libtorch's message.
func firstLine(err error) error {
	if line, _, cut := strings.Cut(strings.TrimSpace(err.Error()), "\n"); cut {
		return fmt.Errorf("%s", line)
	}
	return err
}
