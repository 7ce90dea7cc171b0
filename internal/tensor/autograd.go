package tensor

import (
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
func Backward(loss *ts.Tensor) error {
	if err := shim.Backward([]*ts.Tensor{loss}, nil, false, false, nil); err != nil {
		return fmt.Errorf("backward: %w", firstLine(err))
	}
	return nil
}

// BackwardFrom accumulates Σ outs·grads into the leaves: a vector-Jacobian product.
func BackwardFrom(outs, grads []*ts.Tensor) error {
	if err := shim.Backward(outs, grads, false, false, nil); err != nil {
		return fmt.Errorf("backward: %w", firstLine(err))
	}
	return nil
}

// Gradient is t's accumulated gradient, owned by s, or nil when there is none.
func (s *Scope) Gradient(t *ts.Tensor) *ts.Tensor {
	g, err := shim.Gradient(t)
	return s.result("gradient", g, err, t)
}

// SetGradient replaces t's gradient; nil means none.
func SetGradient(t, g *ts.Tensor) error { return shim.SetGradient(t, g) }

// ZeroGrad sets t's gradient to none.
func ZeroGrad(t *ts.Tensor) error { return shim.SetGradient(t, nil) }

// RequireGrad makes a leaf record (or no longer record) its gradient.
func RequireGrad(t *ts.Tensor, on bool) error {
	h, err := t.SetRequiresGrad(on, false)
	if err != nil {
		return firstLine(err)
	}
	return h.Drop() // a second handle to the same tensor
}

// StraightThrough is value, bit for bit, in the forward pass; the gradient goes to proxy.
func (s *Scope) StraightThrough(value, proxy *ts.Tensor) *ts.Tensor {
	t, err := shim.StraightThrough(value, proxy)
	return s.result("straight_through", t, err, value, proxy)
}

// Checkpoint calls f on ins without keeping its activations and calls it again, with a scope of its own, in the
// backward pass. f must be a pure function of ins and of parameters; at least one of ins must require a gradient.
func (s *Scope) Checkpoint(f func(in *Scope, ins []*ts.Tensor) []*ts.Tensor, nout int, ins ...*ts.Tensor) []*ts.Tensor {
	segment := func(ins []*ts.Tensor) (outs []*ts.Tensor, err error) {
		err = Run(func(in *Scope) error {
			outs = f(in, ins)
			for i, t := range outs {
				outs[i] = in.leave(t)
			}
			return nil
		})
		return outs, err
	}
	outs, err := shim.Checkpoint(segment, nout, ins...)
	if err != nil {
		panic(&OpError{Op: "checkpoint", Shapes: shapes(ins), Err: firstLine(err)})
	}
	for _, t := range outs {
		s.Own(t)
	}
	return outs
}

// leave is a handle to t that outlives s, whoever owns t.
func (s *Scope) leave(t *ts.Tensor) *ts.Tensor {
	h, err := t.ShallowClone()
	s.Check("checkpoint", err)
	return h
}

// Seed seeds libtorch's generators; the numbers equal those of torch.manual_seed.
func Seed(seed int64) { shim.Seed(seed) }

// SetThreads sets libtorch's threads for the process; call it before the first operation.
func SetThreads(n int) { shim.SetThreads(n) }

// Threads is the number of libtorch's threads.
func Threads() int { return shim.Threads() }

// Trim returns freed memory to the system.
func Trim() { shim.Trim() }
