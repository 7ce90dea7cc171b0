package tensor

import (
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// The first numbers that torch.rand(4) and torch.randn(4) print after torch.manual_seed(seed).
func TestSeedEqualsPyTorch(t *testing.T) {
	for _, c := range []struct {
		name string
		seed int64
		draw func(s *Scope) *ts.Tensor
		want []float64
	}{
		{"rand", 42, func(s *Scope) *ts.Tensor { return s.Rand(4) }, []float64{0.8823, 0.9150, 0.3829, 0.9593}},
		{"randn", 42, func(s *Scope) *ts.Tensor { return s.Randn(4) }, []float64{0.3367, 0.1288, 0.2345, 0.2303}},
		{"rand", 0, func(s *Scope) *ts.Tensor { return s.Rand(2) }, []float64{0.4963, 0.7682}},
		{"randn", 0, func(s *Scope) *ts.Tensor { return s.Randn(4) }, []float64{1.5410, -0.2934, -2.1788, 0.5684}},
	} {
		must(t, Seed(c.seed))
		run(t, func(s *Scope) {
			for i, v := range floats(t, c.draw(s)) {
				if math.Abs(float64(v)-c.want[i]) > 5e-5 {
					t.Errorf("seed %d: %s[%d] is %.4f, PyTorch has %.4f", c.seed, c.name, i, v, c.want[i])
				}
			}
		})
	}
}

func TestThreads(t *testing.T) {
	defer func() { must(t, SetThreads(1)) }()
	must(t, SetThreads(2))
	if n := Threads(); n != 2 {
		t.Errorf("%d threads, want 2", n)
	}
	// OS threads that were used before take the new number over.
	seen := make(chan int)
	for n := 3; n < 5; n++ {
		must(t, SetThreads(n))
		for range 4 {
			go func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				seen <- Threads()
			}()
		}
		for range 4 {
			if got := <-seen; got != n {
				t.Errorf("%d threads in a goroutine, want %d", got, n)
			}
		}
	}
	for _, bad := range []int{0, -1} {
		if err := SetThreads(bad); err == nil || !strings.Contains(err.Error(), "want at least 1") {
			t.Errorf("SetThreads(%d): error %v", bad, err)
		}
	}
}

func TestDevice(t *testing.T) {
	d, err := Device("cpu")
	must(t, err)
	run(t, func(s *Scope) {
		x := s.ToDevice(s.Ones(gotch.Float, 1), d)
		if got := s.Device(x).Name; got != gotch.CPU.Name {
			t.Errorf("a tensor on %q is on %q", "cpu", got)
		}
	})
	if _, err := Device("auto"); err != nil {
		t.Errorf("auto: %v", err)
	}
	for _, bad := range []string{"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1:2", " cpu"} {
		if _, err := Device(bad); err == nil || !strings.Contains(err.Error(), "want auto, cpu, cuda or cuda:N") {
			t.Errorf("device %q: error %v", bad, err)
		}
	}
	if _, err := Device("cuda:63"); err == nil || !strings.Contains(err.Error(), `device "cuda:63"`) {
		t.Errorf("device cuda:63: error %v, want one that names it", err)
	}
}
