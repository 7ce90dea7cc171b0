package nn

import (
	"fmt"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// fusedCase is a function of tensors in two forms: fused for float32, composite for any dtype.
type fusedCase struct {
	name             string
	fused, composite func(c *Context, in []*ts.Tensor) *ts.Tensor
	shapes           [][]int64 // of what gradients flow to
}

// rotation and mask of B sequences of T rows; with left, sequence b > 0 starts with b rows of padding.
func rotation(c *Context, B, T, D int64, dtype gotch.DType, left bool) (Angles, *ts.Tensor) {
	positions := c.Reshape(c.Arange(gotch.Int64, B*T), B, T)
	if !left {
		positions = c.Narrow(positions, 0, 0, 1)
	}
	mask := CausalMask(c, T, 0, dtype)
	if left {
		real := make([]int64, B*T)
		for i := range real {
			if int64(i)%T >= int64(i)/T {
				real[i] = 1
			}
		}
		seen := c.To(c.FromInts(real, B, 1, 1, T), dtype)
		mask = c.Clamp(c.Add(mask, c.MulScalar(c.SubScalar(seen, 1), Masked)), -Masked, 0)
	}
	return Rotary{D: D, Theta: 50}.Angles(c, positions, dtype), mask
}

func attentionCase(B, T, heads, kv, D int64, masked, left bool) fusedCase {
	a := NewAttention("a", AttentionConfig{Width: 1, Heads: heads, KVHeads: kv, HeadDim: D, Eps: 1e-6})
	run := func(c *Context, in []*ts.Tensor, f func(qkv []*ts.Tensor, rot Angles, mask *ts.Tensor) *ts.Tensor) *ts.Tensor {
		q, k := a.QNorm.W.T, a.KNorm.W.T
		defer func() { a.QNorm.W.T, a.KNorm.W.T = q, k }()
		a.QNorm.W.T, a.KNorm.W.T = in[3], in[4]
		rot, mask := rotation(c, B, T, D, in[0].DType(), left)
		if !masked {
			mask = nil
		}
		return f(in[:3], rot, mask)
	}
	return fusedCase{
		name: fmt.Sprintf("attention %dx%d, %d/%d heads of %d, mask %v, padding %v", B, T, heads, kv, D, masked, left),
		fused: func(c *Context, in []*ts.Tensor) *ts.Tensor {
			return run(c, in, func(qkv []*ts.Tensor, rot Angles, mask *ts.Tensor) *ts.Tensor {
				if !a.fuses(c, qkv, rot, mask) {
					c.Fail("attention", "is not fused")
				}
				return c.Attention(tensor.Heads{Q: qkv[0], K: qkv[1], V: qkv[2], QGain: in[3], KGain: in[4], Cos: rot.Cos, Sin: rot.Sin,
					Mask: mask, Queries: heads, KVHeads: kv, Eps: 1e-6})
			})
		},
		composite: func(c *Context, in []*ts.Tensor) *ts.Tensor {
			return run(c, in, func(qkv []*ts.Tensor, rot Angles, mask *ts.Tensor) *ts.Tensor {
				return a.composite(c, qkv, rot, mask, nil)
			})
		},
		shapes: [][]int64{{B, T, heads * D}, {B, T, kv * D}, {B, T, kv * D}, {D}, {D}},
	}
}

func fusedCases() []fusedCase {
	cases := []fusedCase{
		attentionCase(3, 16, 4, 2, 32, true, false),
		attentionCase(2, 7, 2, 2, 10, true, true),
		attentionCase(1, 1, 2, 1, 2, true, false),
		attentionCase(2, 13, 4, 1, 6, false, false),
		attentionCase(1, 131, 2, 1, 16, true, false), // several blocks of rows
	}
	for _, shape := range [][]int64{{3, 8}, {2, 300, 5}, {1, 1}, {600, 67}} {
		n := &RMSNorm{W: &Param{}, Eps: 1e-3}
		set := func(in []*ts.Tensor) *ts.Tensor { n.W.T = in[1]; return in[0] }
		cases = append(cases,
			fusedCase{fmt.Sprintf("norm %v", shape),
				func(c *Context, in []*ts.Tensor) *ts.Tensor { return c.RMSNorm(in[0], in[1], 1e-3) },
				func(c *Context, in []*ts.Tensor) *ts.Tensor { return n.composite(c, set(in)) },
				[][]int64{shape, shape[len(shape)-1:]}},
			fusedCase{fmt.Sprintf("gate %v", shape),
				func(c *Context, in []*ts.Tensor) *ts.Tensor { return c.Gated(in[0], in[1]) },
				func(c *Context, in []*ts.Tensor) *ts.Tensor { return c.Mul(c.Silu(in[0]), in[1]) },
				[][]int64{shape, shape}})
	}
	return cases
}

// results are the output and the gradients of f at seeded inputs in dtype; apart makes the inputs views with gaps.
func (k fusedCase) results(t *testing.T, f func(c *Context, in []*ts.Tensor) *ts.Tensor, dtype gotch.DType, apart bool) (out [][]float32) {
	t.Helper()
	run(t, func(c *Context) {
		c.Check("seed", tensor.Seed(5))
		var leaves, in []*ts.Tensor
		for _, shape := range k.shapes {
			x := c.To(c.Randn(shape...), dtype)
			if apart {
				last := int64(len(shape) - 1)
				x = c.Narrow(c.Cat(last, x, x), last, 0, shape[last])
				x = c.Detach(x)
			}
			c.Check("grad", tensor.RequireGrad(x, true))
			leaves, in = append(leaves, x), append(in, x)
		}
		y := f(c, in)
		c.Check("backward", tensor.Backward(c.Sum(c.Mul(y, c.To(c.Randn(c.Shape(y)...), dtype)))))
		for _, x := range append([]*ts.Tensor{y}, gradients(c, leaves)...) {
			out = append(out, floats(t, c.Contiguous(c.To(x, gotch.Float))))
		}
	})
	return out
}

func gradients(c *Context, leaves []*ts.Tensor) (g []*ts.Tensor) {
	for _, x := range leaves {
		g = append(g, c.Gradient(x))
	}
	return g
}

// Fused functions and their gradients are those of the tensor operations in float64, for every set of kernels, also of
// inputs with gaps, and have the same bits with any number of threads.
func TestFused(t *testing.T) {
	for _, k := range fusedCases() {
		t.Run(k.name, func(t *testing.T) {
			want := k.results(t, k.composite, gotch.Double, false)
			compare := func(what string, got [][]float32, tol float64) {
				for i := range want {
					// Gradients of gains are sums over rows of both signs.
					wantClose(t, fmt.Sprintf("%s: result %d", what, i), got[i], wide(want[i]), tol)
				}
			}
			got := k.results(t, k.fused, gotch.Float, false)
			compare("fused", got, 5e-6)
			compare("with gaps", k.results(t, k.fused, gotch.Float, true), 5e-6)
			if !tensor.SetQuantKernels("portable") {
				t.Fatal("no portable kernels")
			}
			defer tensor.SetQuantKernels("")
			compare("portable", k.results(t, k.fused, gotch.Float, false), 5e-6)
			tensor.SetQuantKernels("")
			tensor.SetThreads(2)
			defer tensor.SetThreads(1)
			two := k.results(t, k.fused, gotch.Float, false)
			for i := range got {
				if !slices.Equal(got[i], two[i]) {
					t.Errorf("result %d has other bits with two threads", i)
				}
			}
		})
	}
}

// In bfloat16, norm and gate differ from the tensor operations by the rounding of their results.
func TestFusedHalf(t *testing.T) {
	for _, k := range fusedCases() {
		if len(k.shapes) > 2 {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			want := k.results(t, k.composite, gotch.BFloat16, false)
			got := k.results(t, k.fused, gotch.BFloat16, false)
			for i := range want {
				tol := 1. / 128
				if i == 2 { // the gain's gradient adds up rounded products there
					tol = 0.1
				}
				wantClose(t, fmt.Sprintf("result %d", i), got[i], wide(want[i]), tol)
			}
		})
	}
}

// The gradients are slopes of what the fused functions compute.
func TestFusedSlopes(t *testing.T) {
	for _, k := range []fusedCase{attentionCase(2, 3, 2, 1, 4, true, false), attentionCase(1, 5, 2, 2, 2, false, false), fusedCases()[5], fusedCases()[6]} {
		t.Run(k.name, func(t *testing.T) {
			run(t, func(c *Context) {
				c.Check("seed", tensor.Seed(9))
				in := make([]*ts.Tensor, len(k.shapes))
				var leaves []testkit.Leaf
				for i, shape := range k.shapes {
					in[i] = c.Randn(shape...)
					leaves = append(leaves, testkit.Leaf{Name: fmt.Sprint("input ", i), T: &in[i]})
				}
				out := c.Shape(k.fused(c, in))
				weights := c.Randn(out...)
				testkit.Gradients(t, 1e-2, 5e-3, func(s *tensor.Scope) *ts.Tensor {
					at := &Context{Scope: s}
					single := make([]*ts.Tensor, len(in))
					for i, x := range in {
						single[i] = s.To(x, gotch.Float)
					}
					return s.Sum(s.Mul(k.fused(at, single), weights))
				}, leaves...)
			})
		})
	}
}

// NaN in a row comes out of it, and shapes that do not fit are errors.
func TestFusedRefusals(t *testing.T) {
	nan := float32(0)
	nan /= nan
	run(t, func(c *Context) {
		for name, y := range map[string]*ts.Tensor{
			"norm": c.RMSNorm(c.FromFloats([]float32{1, nan, 3}, 1, 3), c.Ones(gotch.Float, 3), 1e-6),
			"gate": c.Gated(c.FromFloats([]float32{nan}, 1), c.FromFloats([]float32{0}, 1)),
			"kl":   c.Divergence(c.FromFloats([]float32{1, 2}, 1, 2), c.FromFloats([]float32{nan, 2}, 1, 2), 1),
		} {
			if v := floats(t, y); v[0] == v[0] {
				t.Errorf("%s of NaN is %v", name, v)
			}
		}
		k := attentionCase(1, 9, 2, 1, 2, true, false)
		in := make([]*ts.Tensor, len(k.shapes))
		for i, shape := range k.shapes {
			in[i] = c.Randn(shape...)
		}
		v := make([]float32, 18)
		v[6] = nan // the key of row 3
		in[1] = c.FromFloats(v, 1, 9, 2)
		for i, f := range floats(t, k.fused(c, in)) {
			if row := i / 4; (f != f) != (row >= 3) {
				t.Errorf("with NaN in row 3, row %d is %v", row, f)
			}
		}
	})
	for name, f := range map[string]func(c *Context){
		"norm": func(c *Context) { c.RMSNorm(c.Randn(2, 3), c.Randn(4), 1e-6) },
		"gate": func(c *Context) { c.Gated(c.Randn(2, 3), c.Randn(3, 2)) },
		"kl":   func(c *Context) { c.Divergence(c.Randn(2, 3), c.Randn(3, 2), 1) },
		"attention": func(c *Context) {
			k := attentionCase(1, 4, 2, 1, 2, true, false)
			k.shapes[1] = []int64{1, 3, 2}
			in := make([]*ts.Tensor, len(k.shapes))
			for i, shape := range k.shapes {
				in[i] = c.Randn(shape...)
			}
			k.fused(c, in)
		},
	} {
		if err := Run(func(c *Context) error { f(c); return nil }); err == nil {
			t.Errorf("%s of shapes that do not fit is no error", name)
		}
	}
}
