package optim_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/shim"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// kernel runs the update a few times on n elements of dtype and returns weight, moments and sums of squares.
func kernel(t *testing.T, n int, dtype gotch.DType, composite bool) (out [][]float32, squares []float64) {
	t.Helper()
	r := rand.New(rand.NewPCG(9, 9))
	must(t, tensor.Run(func(s *tensor.Scope) error {
		p := s.To(s.FromFloats(draw(r, n, 1), int64(n)), dtype)
		m, v := s.ZerosLike(p, gotch.Float), s.ZerosLike(p, gotch.Float)
		var master *ts.Tensor
		if dtype != gotch.Float {
			master = s.To(p, gotch.Float)
		}
		for k := range 4 {
			g := s.To(s.FromFloats(draw(r, n, 1), int64(n)), dtype)
			sq, err := shim.SumSquares(g)
			if err != nil {
				return err
			}
			squares = append(squares, sq)
			err = shim.AdamW(p, g, master, m, v, shim.AdamWStep{
				LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: int64(k + 1), Composite: composite,
			})
			if err != nil {
				return err
			}
		}
		for _, x := range []*ts.Tensor{p, m, v} {
			f, err := tensor.Floats(x)
			if err != nil {
				return err
			}
			out = append(out, f)
		}
		return nil
	}))
	return out, squares
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
	one, squares := kernel(t, n, gotch.Float, false)
	must(t, tensor.SetThreads(2))
	defer func() { must(t, tensor.SetThreads(1)) }()
	two, squares2 := kernel(t, n, gotch.Float, false)
	for i := range one {
		if !slices.Equal(one[i], two[i]) {
			t.Errorf("result %d differs between 1 and 2 threads", i)
		}
	}
	if !slices.Equal(squares, squares2) {
		t.Errorf("sums of squares are %v with 1 thread, %v with 2", squares, squares2)
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
