package tensor

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// abandonEnv, when set, switches the scopes off in this process: see TestStressFailsWithoutScopes.
const abandonEnv = "QAKD_TEST_ABANDON_SCOPES"

// train runs steps of a small network with AdamW and returns the losses. What a step leaves behind, it reports.
func train(t *testing.T, steps int) (losses []float64) {
	must(t, Seed(5))
	must(t, Run(func(s *Scope) error {
		var params, m, v []*ts.Tensor
		for _, shape := range [][]int64{{48, 16}, {48}, {48, 48}, {4, 48}} {
			p := s.MulScalar(s.Randn(shape...), 0.2)
			params, m, v = append(params, p), append(m, s.ZerosLike(p, gotch.Float)), append(v, s.ZerosLike(p, gotch.Float))
			if err := RequireGrad(p, true); err != nil {
				return err
			}
		}
		x, y := s.Randn(24, 16), s.Randn(24, 4)
		keepAlive := [][]*ts.Tensor{params, m, v, {x, y}} // also where the scope does not
		defer runtime.KeepAlive(keepAlive)
		before := live()
		for k := range steps {
			loss, err := step(k, params, m, v, x, y)
			if err != nil {
				return err
			}
			losses = append(losses, loss)
			if n := live(); n != before {
				return fmt.Errorf("step %d leaves %d tensors to the collector, want none: each is freed by its scope", k, n-before)
			}
		}
		return nil
	}))
	return losses
}

func step(k int, params, m, v []*ts.Tensor, x, y *ts.Tensor) (loss float64, err error) {
	err = Run(func(s *Scope) error {
		h := s.Silu(s.Linear(x, params[0], params[1]))
		h = s.Checkpoint(func(in *Scope, ins []*ts.Tensor) []*ts.Tensor {
			return []*ts.Tensor{in.Add(ins[0], in.Tanh(in.Linear(ins[0], params[2], nil)))}
		}, 1, h)[0]
		s.Nest(func(in *Scope) {
			rms := in.Rsqrt(in.AddScalar(in.MeanDim(in.Square(h), true, -1), 1e-6))
			h = in.Promote(in.Mul(h, rms))
		})
		l := s.Mean(s.Square(s.Sub(s.Linear(h, params[3], nil), s.MulScalar(y, 1+float64(k)*1e-3))))
		if err := Backward(l); err != nil {
			return err
		}
		for i, p := range params {
			err := shim.AdamW(p, s.Gradient(p), nil, m[i], v[i], shim.AdamWStep{
				LR: 0.01, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.01, GradScale: 1, Step: int64(k + 1),
			})
			if err != nil {
				return err
			}
			if err := ZeroGrad(p); err != nil {
				return err
			}
		}
		loss, err = Scalar(l)
		return err
	})
	return loss, err
}

// quiet runs f with the collector off, after what was garbage before has been finalized.
func quiet(f func()) {
	for range 3 {
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	f()
}

// Training under a collector that never pauses gives the losses of an undisturbed run, to the bit, and each step frees
// all that it made.
func TestStressUnderTheCollector(t *testing.T) {
	const steps = 60
	var want []float64
	quiet(func() { want = train(t, steps) })
	if len(want) != steps || !(want[steps-1] < 0.7*want[0]) {
		t.Fatalf("losses %v: the network does not learn", want)
	}

	const collections = 50
	var seen atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
				seen.Add(1)
			}
		}
	}()
	for try := 0; try == 0 || seen.Load() < collections && try < 50; try++ {
		if got := train(t, steps); !slices.Equal(got, want) {
			t.Errorf("losses under the collector are %v, want %v", got, want)
			break
		}
	}
	close(stop)
	<-stopped
	if n := seen.Load(); n < collections && !t.Failed() {
		t.Errorf("%d collections, want at least %d: no stress", n, collections)
	}
}

// The stress test is worth something only if it fails without scopes. That may take the process with it (on stock gotch
// the collector frees a tensor that an operation reads), so it runs in one of its own.
func TestStressFailsWithoutScopes(t *testing.T) {
	if abandon {
		t.Skip("this is the process without scopes")
	}
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, "-test.run=^TestStressUnderTheCollector$", "-test.count=1", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), abandonEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("the stress test passes without scopes:\n%s", out)
	}
	if !strings.Contains(string(out), "tensors to the collector") && !strings.Contains(string(out), "SIG") {
		t.Errorf("the stress test fails for another reason than missing scopes:\n%s", out)
	}
}
