package tensor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// segmentNet has four segments of two results each, which share a weight across segments.
type segmentNet struct{ w, shared *ts.Tensor }

func (n segmentNet) segment(s *Scope, ins []*ts.Tensor) []*ts.Tensor {
	h := s.Tanh(s.Linear(ins[0], n.w, nil))
	return []*ts.Tensor{s.Add(ins[0], h), s.Mul(s.Sigmoid(h), s.Add(ins[1], n.shared))}
}

type wrapper func(s *Scope, f func(in *Scope, ins []*ts.Tensor) []*ts.Tensor, ins ...*ts.Tensor) []*ts.Tensor

var wrappers = map[string]wrapper{
	"plain": func(s *Scope, f func(in *Scope, ins []*ts.Tensor) []*ts.Tensor, ins ...*ts.Tensor) []*ts.Tensor {
		return f(s, ins)
	},
	"checkpoint": func(s *Scope, f func(in *Scope, ins []*ts.Tensor) []*ts.Tensor, ins ...*ts.Tensor) []*ts.Tensor {
		return s.Checkpoint(f, 2, ins...)
	},
	"nested": func(s *Scope, f func(in *Scope, ins []*ts.Tensor) []*ts.Tensor, ins ...*ts.Tensor) []*ts.Tensor {
		return s.Checkpoint(func(in *Scope, ins []*ts.Tensor) []*ts.Tensor {
			var out []*ts.Tensor
			in.Nest(func(deep *Scope) {
				for _, t := range deep.Checkpoint(f, 2, ins...) {
					out = append(out, deep.Promote(t))
				}
			})
			return out
		}, 2, ins...)
	},
}

// gradients of one pass through the net, loss first.
func (n segmentNet) gradients(t *testing.T, x *ts.Tensor, wrap wrapper) [][]float32 {
	var out [][]float32
	leaves := []*ts.Tensor{n.w, n.shared, x}
	run(t, func(s *Scope) {
		a, b := x, s.Zeros(gotch.Float, 4, 8)
		for range 4 {
			y := wrap(s, n.segment, a, b)
			a, b = y[0], y[1]
		}
		loss := s.Sum(s.Mul(a, b))
		out = append(out, floats(t, loss))
		must(t, Backward(loss))
		for _, l := range leaves {
			out = append(out, floats(t, s.Gradient(l)))
			must(t, ZeroGrad(l))
		}
	})
	return out
}

func TestCheckpointGradientsAreBitEqual(t *testing.T) {
	must(t, Seed(1))
	run(t, func(s *Scope) {
		n := segmentNet{s.Randn(8, 8), s.Randn(8)}
		x := s.Randn(4, 8)
		for _, l := range []*ts.Tensor{n.w, n.shared, x} {
			must(t, RequireGrad(l, true))
		}
		want := n.gradients(t, x, wrappers["plain"])
		for _, name := range []string{"checkpoint", "nested"} {
			got := n.gradients(t, x, wrappers[name])
			for i := range want {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("%s: result %d is %v, want %v", name, i, got[i][:1], want[i][:1])
				}
			}
		}
	})
	if n := shim.LiveSegments(); n != 0 {
		t.Errorf("%d segments are alive", n)
	}
}

// The weight learns although no input of the segment needs a gradient, as after a frozen embedding.
func TestCheckpointOfConstantInputs(t *testing.T) {
	run(t, func(s *Scope) {
		w, x := leaf(t, s, 2, 3), s.FromFloats([]float32{10, 100}, 2)
		y := s.Checkpoint(func(in *Scope, ins []*ts.Tensor) []*ts.Tensor {
			return []*ts.Tensor{in.Mul(ins[0], w)}
		}, 1, x)
		must(t, Backward(s.Sum(y[0])))
		wantFloats(t, "the weight's gradient", s.Gradient(w), 10, 100)

		// Nothing needs a gradient: there is none, and no error.
		y = s.Checkpoint(func(in *Scope, ins []*ts.Tensor) []*ts.Tensor { return []*ts.Tensor{in.Neg(ins[0])} }, 1, x)
		must(t, Backward(s.Sum(s.Add(y[0], w))))
	})
	// Without recording it is a plain call, and integers pass.
	run(t, func(s *Scope) {
		ids := s.FromInts([]int64{1, 0}, 2)
		table := leaf(t, s, 5, 6)
		f := func(in *Scope, ins []*ts.Tensor) []*ts.Tensor { return []*ts.Tensor{in.IndexSelect(table, 0, ins[0])} }
		NoGrad(func() { wantFloats(t, "rows", s.Checkpoint(f, 1, ids)[0], 6, 5) })
		must(t, Backward(s.Sum(s.Checkpoint(f, 1, ids)[0])))
		wantFloats(t, "the table's gradient", s.Gradient(table), 1, 1)
	})
	if n := shim.LiveSegments(); n != 0 {
		t.Errorf("%d segments are alive", n)
	}
}

func TestCheckpointErrors(t *testing.T) {
	// A segment that is right when it first runs, and goes wrong when it is run again.
	second := func(fail func(in *Scope)) error {
		return Run(func(s *Scope) error {
			calls := 0
			y := s.Checkpoint(func(in *Scope, ins []*ts.Tensor) []*ts.Tensor {
				if calls++; calls == 2 {
					fail(in)
				}
				return []*ts.Tensor{in.Neg(ins[0])}
			}, 1, leaf(t, s, 1))
			return Backward(s.Sum(y[0]))
		})
	}
	first := func(f func(in *Scope, ins []*ts.Tensor) []*ts.Tensor) error {
		return Run(func(s *Scope) error {
			s.Checkpoint(f, 1, leaf(t, s, 1))
			return nil
		})
	}
	before := live()
	wantError(t, "in the backward pass", second(func(in *Scope) { in.Reshape(in.Ones(gotch.Float, 2), 3) }), "backward([]): reshape([2])")
	if err := second(func(in *Scope) { in.Check("data", errMine) }); !errors.Is(err, errMine) {
		t.Errorf("error %v lost its identity on the way through C++", err)
	}
	wantError(t, "in the forward pass", first(func(in *Scope, ins []*ts.Tensor) []*ts.Tensor {
		return []*ts.Tensor{in.Reshape(ins[0], 3)}
	}), "checkpoint([1]): reshape([1])")
	wantError(t, "number of results", first(func(in *Scope, ins []*ts.Tensor) []*ts.Tensor { return nil }), "returned 0 tensors, want 1")
	wantError(t, "nil result", first(func(in *Scope, ins []*ts.Tensor) []*ts.Tensor { return []*ts.Tensor{nil} }), "nil")
	for name, f := range map[string]func() error{
		"in the forward pass":  func() error { return first(func(*Scope, []*ts.Tensor) []*ts.Tensor { panic("bug 17") }) },
		"in the backward pass": func() error { return second(func(*Scope) { panic("bug 17") }) },
	} {
		func() {
			defer func() {
				r := fmt.Sprint(recover())
				if !strings.Contains(r, "bug 17") || !strings.Contains(r, "checkpoint_test.go") {
					t.Errorf("%s: recovered %.200q, want the panic with its stack", name, r)
				}
			}()
			t.Errorf("%s: error %v, want a panic", name, f())
		}()
	}
	if n := shim.LiveSegments(); n != 0 {
		t.Errorf("%d segments are alive after errors", n)
	}
	if n := live(); n != before {
		t.Errorf("%d tensors are alive after errors, want %d", n, before)
	}
}
