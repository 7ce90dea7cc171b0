package tensor

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch/ts"
)

// Scope owns the results of operations until it ends. It belongs to the goroutine that Run gave it to, whose OS thread
// is locked; use from another one, or after the end, is an error.
type Scope struct {
	parent  *Scope
	own     []*ts.Tensor
	scalars []*ts.Scalar // that are not shared
	thread  uintptr
	ended   bool
}

// abandon makes scopes forget their tensors instead of keeping and dropping them. Only the stress test sets it, to
// show that the scopes are what keeps numbers right and memory flat.
var abandon bool

// Run calls f in a fresh scope on a locked OS thread and drops what the scope owns when f returns, also by a panic. A
// failed operation becomes f's error. Runs nest, on the same thread.
func Run(f func(s *Scope) error) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := &Scope{thread: shim.Enter()}
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

// end drops what s owns. The tensors were reachable until here: no finalizer could free one under an operation.
func (s *Scope) end() {
	for i := len(s.own) - 1; i >= 0; i-- {
		s.own[i].Drop() // fails never: it only frees
	}
	s.own, s.scalars, s.ended = nil, nil, true
	runtime.KeepAlive(s)
}

// Nest calls f with an inner scope that ends when f returns.
func (s *Scope) Nest(f func(in *Scope)) {
	s.admit("nest")
	in := &Scope{parent: s, thread: s.thread}
	defer in.end()
	f(in)
}

// Promote hands t to the scope around s. What s does not own (a parameter, an outer tensor) stays with its owner.
func (s *Scope) Promote(t *ts.Tensor) *ts.Tensor {
	if s.parent == nil {
		s.Fail("promote", "this scope is not nested in another one; Release gives a tensor to the caller")
	}
	if s.disown(t) {
		s.parent.Own(t)
	}
	return t
}

// Own makes s responsible for t, which nothing else owns. A nil t is passed through.
func (s *Scope) Own(t *ts.Tensor) *ts.Tensor {
	if t == nil {
		return nil
	}
	s.admit("own", t)
	if !abandon {
		s.own = append(s.own, t)
	}
	return t
}

// Release gives t to the caller: s no longer drops it. A t that s does not own is returned as it is, and its owner
// keeps it.
func (s *Scope) Release(t *ts.Tensor) *ts.Tensor {
	s.disown(t)
	return t
}

func (s *Scope) disown(t *ts.Tensor) bool {
	for i := len(s.own) - 1; i >= 0; i-- { // most are young
		if s.own[i] == t {
			s.own = slices.Delete(s.own, i, i+1)
			return true
		}
	}
	return false
}

// Must owns the result of a gotch call, or panics with *OpError for Run to recover.
func (s *Scope) Must(t *ts.Tensor, err error) *ts.Tensor { return s.result("gotch", t, err) }

// Check panics with *OpError when err is not nil.
func (s *Scope) Check(op string, err error) {
	if err != nil {
		panic(&OpError{Op: op, Err: clean(err)})
	}
}

// Fail reports a misuse that an operation noticed itself.
func (s *Scope) Fail(op, format string, args ...any) {
	panic(&OpError{Op: op, Err: fmt.Errorf(format, args...)})
}

var (
	errEnded  = errors.New("the scope has ended: its tensors are gone")
	errThread = errors.New("the scope belongs to another goroutine: each one needs a Run of its own")
)

// admit refuses what gotch would answer with a crash or a wrong number: a nil or dropped argument, a scope that has
// ended, a scope of another goroutine.
func (s *Scope) admit(op string, args ...*ts.Tensor) {
	var err error
	switch {
	case s.ended:
		err = errEnded
	case s.thread != shim.Thread():
		err = errThread
	default:
		err = usable(args...)
	}
	if err != nil {
		panic(&OpError{Op: op, Err: err})
	}
}

// usable is nil when every tensor has storage.
func usable(args ...*ts.Tensor) error {
	for i, a := range args {
		if a == nil {
			return fmt.Errorf("argument %d is nil: not loaded, or not made yet", i+1)
		}
		if a.Ctensor() == nil {
			return fmt.Errorf("argument %d has been dropped", i+1)
		}
	}
	return nil
}

// result owns t. The arguments are given again to keep them reachable until the operation has returned.
func (s *Scope) result(op string, t *ts.Tensor, err error, args ...*ts.Tensor) *ts.Tensor {
	if err != nil {
		panic(&OpError{Op: op, Shapes: shapes(args), Err: clean(err)})
	}
	runtime.KeepAlive(args)
	if t != nil && !abandon {
		s.own = append(s.own, t)
	}
	return t
}

// The three kinds of operation that need no words of their own; f is gotch's method.

func (s *Scope) unary(op string, f func(x *ts.Tensor, del bool) (*ts.Tensor, error), x *ts.Tensor) *ts.Tensor {
	s.admit(op, x)
	t, err := f(x, false)
	return s.result(op, t, err, x)
}

func (s *Scope) binary(op string, f func(x, y *ts.Tensor, del bool) (*ts.Tensor, error), x, y *ts.Tensor) *ts.Tensor {
	s.admit(op, x, y)
	t, err := f(x, y, false)
	return s.result(op, t, err, x, y)
}

func (s *Scope) withScalar(op string, f func(x *ts.Tensor, v *ts.Scalar, del bool) (*ts.Tensor, error), x *ts.Tensor, v float64) *ts.Tensor {
	s.admit(op, x)
	t, err := f(x, s.scalar(v), false)
	return s.result(op, t, err, x)
}
