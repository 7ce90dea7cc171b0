package tensor

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sugarme/gotch"
)

// threads sets libtorch's threads for the time of a test.
func threads(t *testing.T, n int) {
	t.Helper()
	must(t, SetThreads(n))
	t.Cleanup(func() { must(t, SetThreads(1)) })
}

// Each does all pieces, at most as many at a time as there are threads, which share libtorch's.
func TestEach(t *testing.T) {
	for _, n := range []int{1, 4} {
		threads(t, n)
		var now, most atomic.Int64
		got := make([]float64, 9)
		err := Each(len(got), func(i int) error {
			k := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); k > m && !most.CompareAndSwap(m, k); m = most.Load() {
			}
			if Threads() != 1 {
				t.Errorf("a piece has %d threads, want 1", Threads())
			}
			return Run(func(s *Scope) (err error) {
				got[i], err = Scalar(s.MulScalar(s.Ones(gotch.Float, 1), float64(i)))
				return err
			})
		})
		must(t, err)
		for i, v := range got {
			if v != float64(i) {
				t.Errorf("%d threads: piece %d gave %v", n, i, v)
			}
		}
		if most.Load() > int64(n) {
			t.Errorf("%d pieces at a time with %d threads", most.Load(), n)
		}
		if Threads() != n {
			t.Errorf("%d threads afterwards, want %d", Threads(), n)
		}
	}
}

// The first error in order comes back, and with it no further piece begins.
func TestEachFails(t *testing.T) {
	for _, n := range []int{1, 2} {
		threads(t, n)
		want := errors.New("second")
		var begun atomic.Int64
		err := Each(1000, func(i int) error {
			begun.Add(1)
			if i >= 1 {
				return want
			}
			return nil
		})
		if !errors.Is(err, want) || begun.Load() > 4 {
			t.Errorf("%d threads: %v after %d pieces", n, err, begun.Load())
		}
	}
}

// Beside runs both, tells other's error, and lets a panic of here pass after other has ended.
func TestBeside(t *testing.T) {
	for _, n := range []int{1, 2, 5} {
		threads(t, n)
		want := errors.New("no")
		here := 0
		if err := Beside(func() error { return want }, func() { here = Threads() }); !errors.Is(err, want) {
			t.Errorf("%d threads: error %v", n, err)
		}
		var share int
		must(t, Beside(func() error { share = Threads(); return nil }, func() { here = Threads() }))
		if n > 1 && share+here != n || n == 1 && (share != 1 || here != 1) {
			t.Errorf("%d threads shared as %d and %d", n, share, here)
		}
		if Threads() != n {
			t.Errorf("%d threads afterwards, want %d", Threads(), n)
		}
		var ended atomic.Bool
		err := Run(func(s *Scope) error {
			return Beside(func() error { ended.Store(true); return nil }, func() { s.Matmul(s.Ones(gotch.Float, 2, 3), s.Ones(gotch.Float, 2, 3)) })
		})
		var op *OpError
		if !errors.As(err, &op) || !ended.Load() {
			t.Errorf("%d threads: error %v, other ended: %v", n, err, ended.Load())
		}
	}
}
