package tensor

import (
	"math"
	"slices"
	"testing"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Each operation against values worked out by hand or by Go's math: a wrong binding (another overload, swapped
// arguments) shows at once.
func TestOperations(t *testing.T) {
	f := func(x float64, g func(float64) float64) float32 { return float32(g(x)) }
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	gelu := func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) / 2 }
	run(t, func(s *Scope) {
		x, y := s.FromFloats([]float32{1, -2, 0.5}, 3), s.FromFloats([]float32{4, -2, 3}, 3)
		m := s.FromFloats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
		pos := s.FromFloats([]float32{1, 4, 9}, 3)
		mask := s.FromBools([]bool{true, false, true}, 3)
		other := s.FromBools([]bool{true, true, false}, 3)
		ids := s.FromInts([]int64{1, 0}, 2)
		for _, c := range []struct {
			name string
			got  *ts.Tensor
			want []float32
		}{
			{"neg", s.Neg(x), []float32{-1, 2, -0.5}},
			{"exp", s.Exp(x), []float32{f(1, math.Exp), f(-2, math.Exp), f(0.5, math.Exp)}},
			{"log", s.Log(pos), []float32{0, f(4, math.Log), f(9, math.Log)}},
			{"sqrt", s.Sqrt(pos), []float32{1, 2, 3}},
			{"rsqrt", s.Rsqrt(pos), []float32{1, 0.5, 1. / 3}},
			{"abs", s.Abs(x), []float32{1, 2, 0.5}},
			{"sign", s.Sign(x), []float32{1, -1, 1}},
			{"round", s.Round(s.FromFloats([]float32{0.5, 1.5, -2.5, 2.6}, 4)), []float32{0, 2, -2, 3}},
			{"floor", s.Floor(x), []float32{1, -2, 0}},
			{"sigmoid", s.Sigmoid(x), []float32{f(1, sigmoid), f(-2, sigmoid), f(0.5, sigmoid)}},
			{"silu", s.Silu(x), []float32{f(1, sigmoid), -2 * f(-2, sigmoid), 0.5 * f(0.5, sigmoid)}},
			{"relu", s.Relu(x), []float32{1, 0, 0.5}},
			{"tanh", s.Tanh(x), []float32{f(1, math.Tanh), f(-2, math.Tanh), f(0.5, math.Tanh)}},
			{"cos", s.Cos(x), []float32{f(1, math.Cos), f(-2, math.Cos), f(0.5, math.Cos)}},
			{"sin", s.Sin(x), []float32{f(1, math.Sin), f(-2, math.Sin), f(0.5, math.Sin)}},
			{"square", s.Square(x), []float32{1, 4, 0.25}},
			{"isfinite", s.Isfinite(s.Div(x, s.FromFloats([]float32{0, 1, 1}, 3))), []float32{0, 1, 1}},
			{"logical_not", s.LogicalNot(mask), []float32{0, 1, 0}},
			{"elu", s.Elu(x), []float32{1, f(-2, math.Expm1), 0.5}},
			{"gelu", s.Gelu(x), []float32{f(1, gelu), f(-2, gelu), f(0.5, gelu)}},
			{"add", s.Add(x, y), []float32{5, -4, 3.5}},
			{"sub", s.Sub(x, y), []float32{-3, 0, -2.5}},
			{"mul", s.Mul(x, y), []float32{4, 4, 1.5}},
			{"div", s.Div(x, y), []float32{0.25, 1, 0.5 / 3.}},
			{"maximum", s.Maximum(x, y), []float32{4, -2, 3}},
			{"minimum", s.Minimum(x, y), []float32{1, -2, 0.5}},
			{"eq", s.Eq(x, y), []float32{0, 1, 0}},
			{"ge", s.Ge(x, y), []float32{0, 1, 0}},
			{"le", s.Le(x, y), []float32{1, 1, 1}},
			{"gt", s.Gt(x, y), []float32{0, 0, 0}},
			{"lt", s.Lt(x, y), []float32{1, 0, 1}},
			{"and", s.And(mask, other), []float32{1, 0, 0}},
			{"or", s.Or(mask, other), []float32{1, 1, 1}},
			{"add_scalar", s.AddScalar(x, 2), []float32{3, 0, 2.5}},
			{"sub_scalar", s.SubScalar(x, 2), []float32{-1, -4, -1.5}},
			{"mul_scalar", s.MulScalar(x, 2), []float32{2, -4, 1}},
			{"div_scalar", s.DivScalar(x, 2), []float32{0.5, -1, 0.25}},
			{"eq_scalar", s.EqScalar(x, -2), []float32{0, 1, 0}},
			{"ne_scalar", s.NeScalar(x, -2), []float32{1, 0, 1}},
			{"ge_scalar", s.GeScalar(x, 0.5), []float32{1, 0, 1}},
			{"le_scalar", s.LeScalar(x, 0.5), []float32{0, 1, 1}},
			{"gt_scalar", s.GtScalar(x, 0.5), []float32{1, 0, 0}},
			{"lt_scalar", s.LtScalar(x, 0.5), []float32{0, 1, 0}},
			{"pow", s.Pow(x, 3), []float32{1, -8, 0.125}},
			{"clamp", s.Clamp(x, -1, 0.75), []float32{0.75, -1, 0.5}},
			{"where", s.Where(mask, x, y), []float32{1, -2, 0.5}},
			{"where not", s.Where(s.LogicalNot(mask), x, y), []float32{4, -2, 3}},
			{"masked_fill", s.MaskedFill(x, mask, 9), []float32{9, -2, 9}},
			{"matmul", s.Matmul(m, s.Transpose(m, 0, 1)), []float32{14, 32, 32, 77}},
			{"linear", s.Linear(x, m, nil), []float32{-1.5, -3}},
			{"linear with bias", s.Linear(x, m, s.FromFloats([]float32{10, 20}, 2)), []float32{8.5, 17}},
			{"embedding", s.Embedding(m, ids), []float32{4, 5, 6, 1, 2, 3}},
			{"sum", s.Sum(m), []float32{21}},
			{"sum of rows", s.SumDim(m, false, 1), []float32{6, 15}},
			{"mean", s.Mean(m), []float32{3.5}},
			{"mean of columns", s.MeanDim(m, true, 0), []float32{2.5, 3.5, 4.5}},
			{"amax", s.Amax(m, false, 1), []float32{3, 6}},
			{"amin", s.Amin(m, false, 0, 1), []float32{1}},
			{"argmax", s.Argmax(m, 1), []float32{2, 2}},
			{"argmin", s.Argmin(s.Neg(m), 0), []float32{1, 1, 1}},
			{"argmin of equals", s.Argmin(s.Zeros(gotch.Float, 4), 0), []float32{0}},
			{"cdist", s.Cdist(m, s.FromFloats([]float32{1, 2, 3, 1, 2, 15}, 2, 3)), []float32{0, 12, f(27, math.Sqrt), f(9+9+81, math.Sqrt)}},
			{"layer_norm", s.LayerNorm(m, nil, nil, 1./3), []float32{-1, 0, 1, -1, 0, 1}},
			{"layer_norm with gain and bias", s.LayerNorm(m, pos, y, 1./3), []float32{3, -2, 12, 3, -2, 12}},
			{"cumsum", s.Cumsum(m, 1), []float32{1, 3, 6, 4, 9, 15}},
			{"softmax", s.Softmax(s.FromFloats([]float32{0, 0, float32(math.Inf(-1))}, 3), 0), []float32{0.5, 0.5, 0}},
			{"log_softmax", s.LogSoftmax(s.Zeros(gotch.Float, 2), -1), []float32{f(0.5, math.Log), f(0.5, math.Log)}},
			{"cat", s.Cat(0, x, y), []float32{1, -2, 0.5, 4, -2, 3}},
			{"stack", s.Stack(1, x, y), []float32{1, 4, -2, -2, 0.5, 3}},
			{"narrow", s.Narrow(m, 1, 1, 2), []float32{2, 3, 5, 6}},
			{"select", s.Select(m, 0, 1), []float32{4, 5, 6}},
			{"index_select", s.IndexSelect(m, 1, ids), []float32{2, 1, 5, 4}},
			{"gather", s.Gather(m, 1, s.Unsqueeze(ids, 1)), []float32{2, 4}},
			{"scatter", s.Scatter(m, 1, s.Unsqueeze(ids, 1), s.FromFloats([]float32{-1, -4}, 2, 1)), []float32{1, -1, 3, -4, 5, 6}},
			{"reshape", s.Reshape(m, 3, -1), []float32{1, 2, 3, 4, 5, 6}},
			{"permute", s.Permute(m, 1, 0), []float32{1, 4, 2, 5, 3, 6}},
			{"squeeze", s.Squeeze(s.Unsqueeze(x, 0), 0), []float32{1, -2, 0.5}},
			{"expand", s.Expand(s.Unsqueeze(x, 0), 2, -1), []float32{1, -2, 0.5, 1, -2, 0.5}},
			{"contiguous", s.Contiguous(s.Transpose(m, 0, 1)), []float32{1, 4, 2, 5, 3, 6}},
			{"to", s.To(s.FromFloats([]float32{1.9, -1.9}, 2), gotch.Int64), []float32{1, -1}},
			{"tril", s.Tril(m, 1), []float32{1, 2, 0, 4, 5, 6}},
			{"zeros", s.Zeros(gotch.Float, 2), []float32{0, 0}},
			{"ones", s.Ones(gotch.Int64, 2), []float32{1, 1}},
			{"full", s.Full(gotch.Float, 2.5, 2), []float32{2.5, 2.5}},
			{"arange", s.Arange(gotch.Int64, 3), []float32{0, 1, 2}},
		} {
			got := floats(t, c.got)
			// gelu(-2) is the small difference of two numbers of size 1, whose last bits depend on the CPU.
			near := func(a, b float32) bool {
				return a == b || math.Abs(float64(a-b)) <= 1e-6*math.Max(math.Abs(float64(b)), 1)
			}
			if !slices.EqualFunc(got, c.want, near) {
				t.Errorf("%s is %v, want %v", c.name, got, c.want)
			}
		}
		values, indices := s.Topk(m, 2, 1)
		wantFloats(t, "topk", values, 3, 2, 6, 5)
		wantFloats(t, "its indices", indices, 2, 1, 2, 1)
		values, indices = s.Sort(x, 0, false)
		wantFloats(t, "sort", values, -2, 0.5, 1)
		wantFloats(t, "its indices", indices, 1, 2, 0)
		if !s.All(s.Ge(y, x)) || s.All(s.Gt(y, x)) {
			t.Error("all is wrong")
		}
		if got := s.Shape(s.SumDim(m, true, 1)); !slices.Equal(got, []int64{2, 1}) {
			t.Errorf("a kept dimension gives shape %v", got)
		}
		if got := s.Shape(s.Sum(m)); len(got) != 0 {
			t.Errorf("the sum has shape %v, want a scalar", got)
		}
	})
}

// Clone, Detach and To say in their comments whether they share memory.
func TestSharing(t *testing.T) {
	run(t, func(s *Scope) {
		x := s.Zeros(gotch.Float, 2)
		data := func(x *ts.Tensor) uintptr {
			p, err := x.DataPtr()
			must(t, err)
			return uintptr(p)
		}
		if data(s.Clone(x)) == data(x) {
			t.Error("a clone shares the memory")
		}
		for name, y := range map[string]*ts.Tensor{"detach": s.Detach(x), "to its own dtype": s.To(x, gotch.Float), "contiguous": s.Contiguous(x), "to its own device": s.ToDevice(x, gotch.CPU)} {
			if data(y) != data(x) {
				t.Errorf("%s copies", name)
			}
		}
	})
}

// Linear of a size at which the shim may choose another library: values and gradients are those of Matmul.
func TestLargeLinear(t *testing.T) {
	const m, n, k = 256, 320, 256
	var got, want [3][]float32
	for i, f := range []func(s *Scope, x, w *ts.Tensor) *ts.Tensor{
		func(s *Scope, x, w *ts.Tensor) *ts.Tensor { return s.Linear(x, w, nil) },
		func(s *Scope, x, w *ts.Tensor) *ts.Tensor { return s.Matmul(x, s.Transpose(w, 0, 1)) },
	} {
		out := []*[3][]float32{&got, &want}[i]
		if err := Seed(3); err != nil {
			t.Fatal(err)
		}
		err := Run(func(s *Scope) (err error) {
			x, w := s.Randn(2, m/2, k), s.Randn(n, k)
			for _, p := range []*ts.Tensor{x, w} {
				if err := RequireGrad(p, true); err != nil {
					return err
				}
			}
			y := f(s, x, w)
			if err := Backward(s.Sum(s.Mul(y, s.Randn(2, m/2, n)))); err != nil {
				return err
			}
			for j, v := range []*ts.Tensor{y, s.Gradient(x), s.Gradient(w)} {
				if out[j], err = Floats(v); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for j := range got {
		for i, v := range got[j] {
			if d := float64(v - want[j][i]); !(math.Abs(d) <= 1e-3) { // sums of 256 or 320 products of size 1
				t.Fatalf("result %d [%d]: %v, want %v", j, i, v, want[j][i])
			}
		}
	}
}

// Linear of bfloat16 numbers, with and without a bias: values and gradients are those of float32, rounded: by the
// shim on CPUs without AVX-512, by libtorch on others.
func TestBFloat16Linear(t *testing.T) {
	const m, n, k = 24, 40, 56
	for _, biased := range []bool{false, true} {
		results := map[gotch.DType][][]float32{}
		for _, dtype := range []gotch.DType{gotch.BFloat16, gotch.Float} {
			if err := Seed(4); err != nil {
				t.Fatal(err)
			}
			err := Run(func(s *Scope) error {
				draw := func(shape ...int64) *ts.Tensor { return s.To(s.To(s.Randn(shape...), gotch.BFloat16), dtype) }
				in := []*ts.Tensor{draw(2, m/2, k), draw(n, k), draw(n)}
				weight := draw(2, m/2, n)
				for _, p := range in {
					if err := RequireGrad(p, true); err != nil {
						return err
					}
				}
				bias := in[2]
				if !biased {
					bias, in = nil, in[:2]
				}
				y := s.Linear(in[0], in[1], bias)
				if y.DType() != dtype {
					t.Errorf("%v of %v", y.DType(), dtype)
				}
				if err := Backward(s.Sum(s.To(s.Mul(y, weight), gotch.Float))); err != nil {
					return err
				}
				out := []*ts.Tensor{y}
				for _, p := range in {
					out = append(out, s.Gradient(p))
				}
				for _, v := range out {
					f, err := Floats(s.To(v, gotch.Float))
					if err != nil {
						return err
					}
					results[dtype] = append(results[dtype], f)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for j, want := range results[gotch.Float] {
			for i, v := range results[gotch.BFloat16][j] {
				if d := math.Abs(float64(v - want[i])); d > math.Abs(float64(want[i]))/256+1e-4 {
					t.Fatalf("biased %v: result %d [%d] is %v, of float32 %v", biased, j, i, v, want[i])
				}
			}
		}
	}
}
