package tensor

import (
	"errors"
	"testing"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// A gradient that is collected first and handed on as a known one is the gradient, and earlier ones are left alone.
func TestCollectAndKnown(t *testing.T) {
	run(t, func(s *Scope) {
		w, x, idle := leaf(t, s, 2, 3), leaf(t, s, 5, 7), leaf(t, s, 1)
		must(t, Backward(s.Sum(s.MulScalar(w, 10))))
		leaves := []*ts.Tensor{w, x, idle}
		grads, err := s.Collect(leaves, func() error {
			must(t, Backward(s.Sum(s.Mul(w, x))))
			return Backward(s.Sum(s.Mul(w, x))) // adds up
		})
		must(t, err)
		wantFloats(t, "collected", grads[0], 10, 14)
		wantFloats(t, "collected", grads[1], 4, 6)
		if grads[2] != nil {
			t.Error("a gradient of a leaf that nothing depends on")
		}
		wantFloats(t, "before", s.Gradient(w), 10, 10)
		if s.Gradient(x) != nil {
			t.Error("x had no gradient and has one now")
		}
		value := s.Sum(s.Mul(w, x))
		y := s.Known(value, leaves, grads)
		wantFloats(t, "value", s.Reshape(y, 1), 31)
		must(t, Backward(s.MulScalar(y, 2)))
		wantFloats(t, "known", s.Gradient(w), 30, 38)
		wantFloats(t, "known", s.Gradient(x), 8, 12)
		if s.Gradient(idle) != nil {
			t.Error("a gradient where none is known")
		}
	})
	before := live()
	err := Run(func(s *Scope) error {
		w := leaf(t, s, 2)
		must(t, Backward(s.Sum(w)))
		_, err := s.Collect([]*ts.Tensor{w}, func() error {
			must(t, Backward(s.Sum(w)))
			return errMine
		})
		wantFloats(t, "after a failure", s.Gradient(w), 1)
		return err
	})
	if !errors.Is(err, errMine) {
		t.Errorf("error %v, want the one of the function", err)
	}
	wantError(t, "counts", Run(func(s *Scope) error { s.Known(s.Zeros(gotch.Float), nil, []*ts.Tensor{nil}); return nil }), "1 gradients for 0 tensors")
	wantError(t, "shapes", Run(func(s *Scope) error {
		s.Known(s.Zeros(gotch.Float), []*ts.Tensor{leaf(t, s, 1, 2)}, []*ts.Tensor{s.Zeros(gotch.Float, 3)})
		return nil
	}), "gradient [3] of a tensor [2]")
	if n := live(); n != before {
		t.Errorf("%d tensors are alive, want %d", n, before)
	}
}
