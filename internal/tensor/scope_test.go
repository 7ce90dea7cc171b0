package tensor

import (
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestRunDropsWhatItOwns(t *testing.T) {
	var in, out *ts.Tensor
	run(t, func(s *Scope) {
		in = s.Ones(gotch.Float, 2)
		out = s.Release(s.Add(in, in))
	})
	if in.Ctensor() != nil {
		t.Error("a tensor of the scope is alive after Run")
	}
	wantFloats(t, "the released tensor", out, 2, 2)
	must(t, out.Drop())
}

func TestRunDropsOnEveryWayOut(t *testing.T) {
	mine := errors.New("mine")
	for name, leave := range map[string]func(s *Scope, x *ts.Tensor) error{
		"return": func(*Scope, *ts.Tensor) error { return nil },
		"error":  func(*Scope, *ts.Tensor) error { return mine },
		"failed operation": func(s *Scope, x *ts.Tensor) error {
			s.Reshape(x, 3)
			return nil
		},
		"panic":      func(*Scope, *ts.Tensor) error { panic("bug") },
		"nil access": func(*Scope, *ts.Tensor) error { var p *ts.Tensor; p.Ctensor(); return nil },
		"inner run panics": func(*Scope, *ts.Tensor) error {
			return Run(func(*Scope) error { panic("bug") })
		},
		"panic without recording": func(*Scope, *ts.Tensor) error { NoGrad(func() { panic("bug") }); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			var x, inner *ts.Tensor
			var err error
			panicked := func() (r any) {
				defer func() { r = recover() }()
				err = Run(func(s *Scope) (err error) {
					x = s.Ones(gotch.Float, 2)
					s.Nest(func(in *Scope) {
						inner = in.Ones(gotch.Float, 2)
						err = leave(in, x)
					})
					return err
				})
				return nil
			}()
			if x.Ctensor() != nil || inner.Ctensor() != nil {
				t.Error("tensors are alive after Run")
			}
			if !GradEnabled() {
				t.Error("recording is off after Run")
			}
			switch name {
			case "return":
				must(t, err)
			case "error":
				if err != mine {
					t.Errorf("error %v, want the function's own", err)
				}
			case "failed operation":
				wantError(t, name, err, "reshape([2])", "invalid")
			default:
				if panicked == nil {
					t.Error("the panic was swallowed")
				}
			}
		})
	}
}

func TestNestPromoteRelease(t *testing.T) {
	run(t, func(s *Scope) {
		base := s.Ones(gotch.Float, 1)
		var temp, promoted, twice, released, passed *ts.Tensor
		s.Nest(func(in *Scope) {
			temp = in.AddScalar(base, 1)
			promoted = in.Promote(in.AddScalar(temp, 1))
			released = in.Release(in.AddScalar(temp, 2))
			in.Nest(func(deep *Scope) {
				twice = in.Promote(deep.Promote(deep.AddScalar(temp, 3)))
			})
			passed = in.Promote(base) // a layer that returns its input
		})
		if temp.Ctensor() != nil {
			t.Error("a temporary outlives its scope")
		}
		wantFloats(t, "promoted", promoted, 3)
		wantFloats(t, "promoted twice", twice, 5)
		wantFloats(t, "released", released, 4)
		wantFloats(t, "the outer tensor", passed, 1)
		if len(s.own) != 3 {
			t.Errorf("the outer scope owns %d tensors, want 3: the base and two promoted ones", len(s.own))
		}
		must(t, released.Drop())
	})
}

// Promote must not make a scope the owner of what somebody else keeps: a parameter would be freed under its module.
func TestPromoteLeavesForeignTensors(t *testing.T) {
	param, err := New(gotch.Float, []int64{1}, []byte{0, 0, 128, 63})
	must(t, err)
	run(t, func(s *Scope) {
		s.Nest(func(in *Scope) { in.Promote(param) })
		s.Release(param)
	})
	wantFloats(t, "the parameter", param, 1)
	must(t, param.Drop())
}

func TestMisuseIsAnError(t *testing.T) {
	var kept *Scope
	var dropped *ts.Tensor
	run(t, func(s *Scope) { kept, dropped = s, s.Ones(gotch.Float, 1) })
	for _, c := range []struct {
		name  string
		f     func(s *Scope)
		parts []string
	}{
		{"shapes", func(s *Scope) { s.Matmul(s.Ones(gotch.Float, 2, 3), s.Ones(gotch.Float, 4, 5)) },
			[]string{"matmul([2 3], [4 5]): mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"}},
		{"index", func(s *Scope) { s.Embedding(s.Ones(gotch.Float, 2, 3), s.FromInts([]int64{7}, 1)) }, []string{"embedding([2 3], [1])", "index out of range"}},
		{"dtype", func(s *Scope) { s.IndexSelect(s.Ones(gotch.Float, 2), 0, s.Ones(gotch.Float, 1)) }, []string{"index_select", "int"}},
		{"count", func(s *Scope) { s.FromFloats([]float32{1}, 2) }, []string{"from_floats: tensor: 4 bytes for shape [2]", "want 8"}},
		{"negative size", func(s *Scope) { s.FromFloats([]float32{1}, -1, -1) }, []string{"want no negative size"}},
		{"nil", func(s *Scope) { s.Add(s.Ones(gotch.Float, 1), nil) }, []string{"add: argument 2 is nil"}},
		{"nil weight", func(s *Scope) { s.Linear(s.Ones(gotch.Float, 1), nil, nil) }, []string{"linear: argument 2 is nil"}},
		{"nil in list", func(s *Scope) { s.Cat(0, nil) }, []string{"cat: argument 1 is nil"}},
		{"dropped zero point", func(s *Scope) {
			one := s.Ones(gotch.Float, 1)
			s.FakeQuantize(one, one, dropped, -8, 7)
		}, []string{"fake_quantize: argument 3 has been dropped"}},
		{"dropped", func(s *Scope) { s.Neg(dropped) }, []string{"neg: argument 1 has been dropped"}},
		{"undefined", func(s *Scope) { s.Neg(ts.None) }, []string{"neg"}},
		{"undefined sum", func(s *Scope) { s.Sum(ts.None) }, []string{"sum"}},
		{"undefined shape", func(s *Scope) { s.Check("floats", second(Floats(ts.None))) }, []string{""}},
		{"ended", func(*Scope) { kept.Ones(gotch.Float, 1) }, []string{"ones: the scope has ended"}},
		{"promote from the outermost", func(s *Scope) { s.Promote(s.Ones(gotch.Float, 1)) }, []string{"promote", "not nested"}},
		{"own error", func(s *Scope) { s.Fail("rotary", "width %d", 3) }, []string{"rotary: width 3"}},
		{"no dims", func(s *Scope) { s.SumDim(s.Ones(gotch.Float, 1), true) }, []string{"sum: no dimensions given"}},
		{"reshape to scalar", func(s *Scope) { s.Reshape(s.Ones(gotch.Float, 2)) }, []string{"reshape([2])"}},
		{"empty cat", func(s *Scope) { s.Cat(0) }, []string{"cat"}},
		{"select", func(s *Scope) { s.Select(s.Ones(gotch.Float, 2), 0, 9) }, []string{"select([2])", "index 9 out of range"}},
		{"half on CPU", func(s *Scope) { s.Matmul(s.Ones(gotch.Half, 2, 2), s.Ones(gotch.Half, 2, 2)) }, []string{"matmul", "Half"}},
		{"cuda", func(s *Scope) { s.ToDevice(s.Ones(gotch.Float, 1), gotch.CudaBuilder(7)) }, []string{"to_device([1])"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, c.name, Run(func(s *Scope) error {
				c.f(s)
				return nil
			}), c.parts...)
		})
	}
}

func second[A any](_ A, err error) error { return err }

func TestScopeOfAnotherGoroutine(t *testing.T) {
	run(t, func(s *Scope) {
		x := s.Ones(gotch.Float, 1)
		errs := make(chan error)
		go func() {
			errs <- Run(func(*Scope) error {
				s.Add(x, x)
				return nil
			})
		}()
		wantError(t, "add", <-errs, "add: the scope belongs to another goroutine")
	})
}

func TestErrorsOfOthersKeepTheirIdentity(t *testing.T) {
	mine := errors.New("two\nlines")
	err := Run(func(s *Scope) error {
		s.Check("load", mine)
		return nil
	})
	if !errors.Is(err, mine) {
		t.Errorf("error %v lost what it wraps", err)
	}
}

// Numbers stay what they were, whether their C++ object is shared or, past the limit, of the scope.
func TestScalars(t *testing.T) {
	run(t, func(s *Scope) {
		x := s.Zeros(gotch.Double, 1)
		for i := range maxScalars + 100 {
			s.Nest(func(in *Scope) {
				want := float64(i)/3 + 0.1
				for range 2 {
					v, err := Scalar(in.AddScalar(x, want))
					must(t, err)
					if v != want {
						t.Fatalf("0 + %v is %v", want, v)
					}
				}
			})
			if i%1000 == 0 {
				runtime.GC()
			}
		}
		for _, v := range []float64{math.Inf(1), math.Copysign(0, -1), math.NaN()} {
			got, err := Scalar(s.MulScalar(s.Ones(gotch.Double, 1), v))
			must(t, err)
			if math.Float64bits(got) != math.Float64bits(v) && !(math.IsNaN(got) && math.IsNaN(v)) {
				t.Errorf("1 * %v is %v", v, got)
			}
		}
	})
	if n := len(scalars.byValue); n > maxScalars {
		t.Errorf("%d numbers are kept, limit %d", n, maxScalars)
	}
}

// Two scopes of one goroutine share its thread and its grad mode.
func TestRunsNestOnOneThread(t *testing.T) {
	run(t, func(s *Scope) {
		outer := shim.Thread()
		NoGrad(func() {
			run(t, func(in *Scope) {
				if shim.Thread() != outer || GradEnabled() {
					t.Error("the inner Run is on another thread or records")
				}
				x := in.Ones(gotch.Float, 1)
				s.Add(x, x) // the outer scope stays usable
			})
		})
		if !GradEnabled() {
			t.Error("recording is off after NoGrad")
		}
	})
}
