package tensor

import (
	"syscall"
	"testing"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// cpuNanoseconds of the process: on a shared machine the wall clock says little.
func cpuNanoseconds() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// perOp times f, which is all overhead on 16 elements, in scopes of 100 operations.
func perOp(b *testing.B, f func(in *Scope, x *ts.Tensor)) {
	err := Run(func(s *Scope) error {
		x := s.Zeros(gotch.Float, 16)
		start := cpuNanoseconds()
		for b.Loop() {
			s.Nest(func(in *Scope) {
				for range 100 {
					f(in, x)
				}
			})
		}
		b.ReportMetric(float64(cpuNanoseconds()-start)/float64(b.N)/100, "cpu-ns/op")
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAdd(b *testing.B) { perOp(b, func(in *Scope, x *ts.Tensor) { in.Add(x, x) }) }

func BenchmarkAddScalar(b *testing.B) {
	perOp(b, func(in *Scope, x *ts.Tensor) { in.AddScalar(x, 1.5) })
}

// BenchmarkGotchAdd is the operation without a scope.
func BenchmarkGotchAdd(b *testing.B) {
	perOp(b, func(_ *Scope, x *ts.Tensor) {
		if t, err := x.Add(x, false); err == nil {
			t.Drop()
		}
	})
}

func BenchmarkShape(b *testing.B) { perOp(b, func(in *Scope, x *ts.Tensor) { in.Shape(x) }) }

func BenchmarkScalar(b *testing.B) {
	perOp(b, func(in *Scope, x *ts.Tensor) {
		if _, err := Scalar(in.Select(x, 0, 0)); err != nil {
			b.Fatal(err)
		}
	})
}
