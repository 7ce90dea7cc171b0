package optim_test

import (
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/shim"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch"
)

// kernel runs the update a few times on n elements of dtype and returns weights, moments and norms of gradients.
func kernel(t *testing.T, n int, dtype gotch.DType, composite bool) (out [][]float32, norms []float64) {
	t.Helper()
	r := rand.New(rand.NewPCG(9, 9))
	p := param(t, "w", dtype, draw(r, n, 1), int64(n))
	cfg := optim.DefaultConfig()
	cfg.Beta1, cfg.Beta2 = 0.9, 0.95
	o := newAdamW(t, cfg, group([]*nn.Param{p}))
	if composite {
		o.Composite()
	}
	for range 4 {
		setGrad(t, p, draw(r, n, 1))
		norm, err := o.Step(1)
		must(t, err)
		norms = append(norms, norm)
	}
	out = [][]float32{values(t, p)}
	states := stateBytes(t, o, filepath.Join(t.TempDir(), "o"))
	for _, name := range slices.Sorted(maps.Keys(states)) {
		if strings.Contains(name, "exp_avg") {
			v := make([]float32, n)
			for i := range v {
				v[i] = math.Float32frombits(binary.LittleEndian.Uint32([]byte(states[name][4*i:])))
			}
			out = append(out, v)
		}
	}
	if len(out) != 3 {
		t.Fatalf("%d results of %v, want weights and two moments", len(out), slices.Collect(maps.Keys(states)))
	}
	return out, norms
}

// The form for other devices computes the same.
func TestCompositeEqualsFused(t *testing.T) {
	for _, d := range []gotch.DType{gotch.Float, gotch.BFloat16} {
		fused, _ := kernel(t, 1000, d, false)
		composite, _ := kernel(t, 1000, d, true)
		for i, what := range []string{"weight", "exp_avg", "exp_avg_sq"} {
			testkit.Close(t, what, composite[i], fused[i], 1e-7, map[gotch.DType]float64{gotch.Float: 2e-6, gotch.BFloat16: 1.0 / 128}[d])
		}
	}
}

// Neither the update nor the norm depends on the number of threads.
func TestThreadsDoNotChangeBits(t *testing.T) {
	const n = 200_000
	one, norms := kernel(t, n, gotch.Float, false)
	must(t, tensor.SetThreads(2))
	defer func() { must(t, tensor.SetThreads(1)) }()
	two, norms2 := kernel(t, n, gotch.Float, false)
	for i := range one {
		if !slices.Equal(one[i], two[i]) {
			t.Errorf("result %d differs between 1 and 2 threads", i)
		}
	}
	if !slices.Equal(norms, norms2) {
		t.Errorf("norms are %v with 1 thread, %v with 2", norms, norms2)
	}
}

func TestSumSquares(t *testing.T) {
	must(t, tensor.Run(func(s *tensor.Scope) error {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range []int{1, 7, 8, 4095, 4096, 4097, 50_000} {
			v, want := draw(r, n, 1e20), 0.0 // squares that float32 cannot hold
			for _, x := range v {
				want += float64(x) * float64(x)
			}
			got, err := shim.SumSquares(s.FromFloats(v, int64(n)))
			must(t, err)
			if math.Abs(got-want) > 1e-12*want {
				t.Errorf("%d elements: %v, want %v", n, got, want)
			}
		}
		got, err := shim.SumSquares(s.Transpose(s.To(s.FromFloats([]float32{1, 2, 3, 4, 5, 6}, 2, 3), gotch.BFloat16), 0, 1))
		if err != nil || got != 91 {
			t.Errorf("a transposed bf16 matrix: %v, %v, want 91", got, err)
		}
		return nil
	}))
}

func TestKernelErrors(t *testing.T) {
	must(t, tensor.Run(func(s *tensor.Scope) error {
		x, short, bf16 := s.Ones(gotch.Float, 4), s.Ones(gotch.Float, 3), s.Ones(gotch.BFloat16, 4)
		step := shim.AdamWStep{LR: 1, Eps: 1, Step: 1, GradScale: 1}
		for _, c := range []struct {
			name string
			err  error
			want string
		}{
			{"gradient", shim.AdamW(x, short, nil, x, x, step), "gradient [3]"},
			{"moment", shim.AdamW(x, x, nil, short, x, step), "exp_avg is Float [3]"},
			{"second moment", shim.AdamW(x, x, nil, x, bf16, step), "exp_avg_sq is BFloat16"},
			{"master", shim.AdamW(bf16, bf16, bf16, x, x, step), "master weight is BFloat16"},
			{"no master", shim.AdamW(bf16, bf16, nil, x, x, step), "parameter is BFloat16"},
		} {
			if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
				t.Errorf("%s: error %v, want it to say %q", c.name, c.err, c.want)
			}
		}
		return nil
	}))
}
