package tensor

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// leaf records its gradient.
func leaf(t *testing.T, s *Scope, v ...float32) *ts.Tensor {
	t.Helper()
	x := s.FromFloats(v, int64(len(v)))
	must(t, RequireGrad(x, true))
	return x
}

func recorded(t *testing.T, x *ts.Tensor) bool {
	t.Helper()
	r, err := x.RequiresGrad()
	must(t, err)
	return r
}

func TestNoGradNestsAndSurvivesPanics(t *testing.T) {
	run(t, func(s *Scope) {
		x := leaf(t, s, 1)
		NoGrad(func() {
			NoGrad(func() {})
			if recorded(t, s.Neg(x)) {
				t.Error("an inner NoGrad switched recording on again")
			}
			func() {
				defer func() { _ = recover() }()
				NoGrad(func() { panic("bug") })
			}()
			if recorded(t, s.Neg(x)) {
				t.Error("a panic in an inner NoGrad switched recording on again")
			}
		})
		func() {
			defer func() { _ = recover() }()
			NoGrad(func() { panic("bug") })
		}()
		if !recorded(t, s.Neg(x)) {
			t.Error("recording is off after a panic in NoGrad")
		}
	})
	err := Run(func(s *Scope) error {
		NoGrad(func() { s.Reshape(s.Ones(gotch.Float, 2), 3) })
		return nil
	})
	wantError(t, "reshape", err)
	if !GradEnabled() {
		t.Error("recording is off after a failed operation in NoGrad")
	}
}

// Half of the goroutines never record, the other half always do, while all hop between OS threads.
func TestNoGradAcrossGoroutines(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for range 100 {
				err := Run(func(s *Scope) error {
					x := leaf(t, s, 1)
					check := func(want bool) {
						if got := recorded(t, s.Neg(x)); got != want {
							t.Errorf("goroutine %d: recorded is %v, want %v", g, got, want)
						}
						if r.IntN(4) == 0 {
							time.Sleep(time.Duration(r.IntN(100)) * time.Microsecond)
						} else {
							runtime.Gosched()
						}
					}
					if g%2 == 0 {
						NoGrad(func() { check(false); check(false) })
					}
					check(true)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestBackwardErrors(t *testing.T) {
	run(t, func(s *Scope) {
		x := leaf(t, s, 1, 2)
		loss := s.Sum(s.Mul(x, x))
		must(t, Backward(loss))
		wantFloats(t, "the gradient", s.Gradient(x), 2, 4)
		wantError(t, "second backward", Backward(loss), "backward([])", "second time")
		wantError(t, "vector", Backward(s.Mul(x, x)), "backward([2])", "scalar outputs")
		wantError(t, "constant", Backward(s.Sum(s.Ones(gotch.Float, 2))), "does not require grad")
		wantError(t, "nil", Backward(nil), "argument 1 is nil")
		must(t, BackwardFrom([]*ts.Tensor{s.Mul(x, x)}, []*ts.Tensor{s.FromFloats([]float32{10, 0}, 2)}))
		wantFloats(t, "the accumulated gradient", s.Gradient(x), 22, 4)
		if err := BackwardFrom([]*ts.Tensor{x}, []*ts.Tensor{x, x}); err == nil {
			t.Error("no error for two gradients of one tensor")
		}
		must(t, ZeroGrad(x))
		if s.Gradient(x) != nil {
			t.Error("a gradient is left after ZeroGrad")
		}
		wantError(t, "integers", RequireGrad(s.FromInts([]int64{1}, 1), true), "require_grad([1])", "floating point")
		wantError(t, "nil leaf", RequireGrad(nil, true), "is nil")
		wantError(t, "gradient of another shape", SetGradient(x, s.Ones(gotch.Float, 3)), "set_gradient([2], [3])")
	})
}

func TestStraightThrough(t *testing.T) {
	run(t, func(s *Scope) {
		x := leaf(t, s, 1, -2, 3)
		bits := []float32{float32(math.Copysign(0, -1)), float32(math.NaN()), 7}
		value := s.FromFloats(bits, 3)
		y := s.StraightThrough(value, s.MulScalar(x, 2))
		for i, v := range floats(t, y) {
			if math.Float32bits(v) != math.Float32bits(bits[i]) {
				t.Errorf("element %d is %v, want %v to the bit", i, v, bits[i])
			}
		}
		must(t, BackwardFrom([]*ts.Tensor{y}, []*ts.Tensor{s.FromFloats([]float32{1, 10, 100}, 3)}))
		wantFloats(t, "the proxy's gradient", s.Gradient(x), 2, 20, 200)

		// The value's own graph gets nothing.
		a := leaf(t, s, 1, 2, 3)
		must(t, ZeroGrad(x))
		must(t, Backward(s.Sum(s.StraightThrough(s.MulScalar(a, 5), x))))
		if s.Gradient(a) != nil && floats(t, s.Gradient(a))[0] != 0 {
			t.Error("the value got a gradient")
		}
		wantFloats(t, "the proxy's gradient", s.Gradient(x), 1, 1, 1)
		wantError(t, "shapes", Run(func(in *Scope) error {
			in.StraightThrough(value, in.Ones(gotch.Float, 2))
			return nil
		}), "straight_through([3], [2])", "differ in shape")
	})
}

func TestGradientIsNilWithoutOne(t *testing.T) {
	run(t, func(s *Scope) {
		if g := s.Gradient(leaf(t, s, 1)); g != nil {
			t.Errorf("gradient %v before a backward pass", floats(t, g))
		}
	})
}

var errMine = errors.New("mine")
