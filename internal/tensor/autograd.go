package tensor

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch/ts"
)

// NoGrad calls f with recording switched off on its OS thread. It nests, and a panic restores the mode.
func NoGrad(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was := shim.GradMode(false)
	defer shim.GradMode(was)
	f()
}

// GradEnabled tells whether operations on this goroutine's locked thread are recorded.
func GradEnabled() bool { return shim.GradEnabled() }

// Backward accumulates the gradient of a one-element loss into the leaves.
func Backward(loss *ts.Tensor) error { return BackwardFrom([]*ts.Tensor{loss}, nil) }

// BackwardFrom accumulates Σ outs·grads into the leaves: a vector-Jacobian product. grads nil stands for ones, where
// every out has one element.
func BackwardFrom(outs, grads []*ts.Tensor) error {
	if grads != nil && len(grads) != len(outs) {
		return fmt.Errorf("backward: %d gradients for %d tensors", len(grads), len(outs))
	}
	return onThread("backward", func() error { return shim.Backward(outs, grads, false, false, nil) }, append(outs[:len(outs):len(outs)], grads...)...)
}

// onThread calls f on a locked thread if the tensors are usable. A panic that a recomputed segment had to swallow goes on.
func onThread(op string, f func() error, args ...*ts.Tensor) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	shim.Enter()
	err := usable(args...)
	if err == nil {
		err = f()
	}
	rethrow(err)
	if err != nil {
		return &OpError{Op: op, Shapes: shapes(args), Err: clean(err)}
	}
	return nil
}

func rethrow(err error) {
	var p *shim.Panic
	if errors.As(err, &p) {
		panic(p)
	}
}

// Gradient is t's accumulated gradient, owned by s, or nil when there is none.
func (s *Scope) Gradient(t *ts.Tensor) *ts.Tensor {
	s.admit("gradient", t)
	g, err := shim.Gradient(t)
	return s.result("gradient", g, err, t)
}

// SetGradient replaces t's gradient; nil means none.
func SetGradient(t, g *ts.Tensor) error {
	args := []*ts.Tensor{t}
	if g != nil {
		args = append(args, g)
	}
	return onThread("set_gradient", func() error { return shim.SetGradient(t, g) }, args...)
}

// ZeroGrad sets t's gradient to none.
func ZeroGrad(t *ts.Tensor) error { return SetGradient(t, nil) }

// RequireGrad makes a leaf record (or no longer record) its gradient.
func RequireGrad(t *ts.Tensor, on bool) error {
	return onThread("require_grad", func() error {
		h, err := t.SetRequiresGrad(on, false)
		runtime.KeepAlive(t)
		if err != nil {
			return err
		}
		return h.Drop() // a second handle to the same tensor
	}, t)
}

// StraightThrough is value, bit for bit, in the forward pass; the gradient goes to proxy.
func (s *Scope) StraightThrough(value, proxy *ts.Tensor) *ts.Tensor {
	s.admit("straight_through", value, proxy)
	t, err := shim.StraightThrough(value, proxy)
	return s.result("straight_through", t, err, value, proxy)
}

// Checkpoint calls f on ins without keeping its activations and calls it again, with a scope of its own, in the
// backward pass. f must be a pure function of ins and of parameters, and use its own scope only. It may be called from
// Checkpoint itself.
func (s *Scope) Checkpoint(f func(in *Scope, ins []*ts.Tensor) []*ts.Tensor, nout int, ins ...*ts.Tensor) []*ts.Tensor {
	s.admit("checkpoint", ins...)
	segment := func(ins []*ts.Tensor) (outs []*ts.Tensor, err error) {
		err = Run(func(in *Scope) error {
			for _, t := range f(in, ins) {
				in.admit("checkpoint", t)
				h, err := t.ShallowClone() // outlives in, whoever owns t
				in.Check("checkpoint", err)
				outs = append(outs, h)
			}
			return nil
		})
		return outs, err
	}
	outs, err := shim.Checkpoint(segment, nout, ins...)
	rethrow(err)
	if err != nil {
		panic(&OpError{Op: "checkpoint", Shapes: shapes(ins), Err: clean(err)})
	}
	for _, t := range outs {
		s.Own(t)
	}
	return outs
}

// Seed seeds libtorch's generators; the numbers equal those of torch.manual_seed.
func Seed(seed int64) error { return shim.Seed(seed) }

// SetThreads sets libtorch's threads for the process: every Run that begins afterwards uses n, which is at least 1.
func SetThreads(n int) error {
	if n < 1 {
		return fmt.Errorf("tensor: %d threads, want at least 1", n)
	}
	return onThread("set_threads", func() error { return shim.SetThreads(n) })
}

// Threads is the number of libtorch's threads.
func Threads() (n int) {
	_ = onThread("threads", func() error { n = shim.Threads(); return nil }) // nothing in it fails
	return n
}

// Trim returns freed memory to the system.
func Trim() { shim.Trim() }

// Held is the bytes that tensors on the CPU hold, and the most that they held since the last ResetHeld. Memory that is
// kept for the next tensors does not count.
func Held() (now, peak int64) { return shim.Held(false) }

// ResetHeld lets the peak of Held start again from what is held, which it returns.
func ResetHeld() int64 {
	now, _ := shim.Held(true)
	return now
}
