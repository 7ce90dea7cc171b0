package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestRMSNorm(t *testing.T) {
	n := NewRMSNorm("norm", 4, 0.5)
	initialized(t, n)
	run(t, func(c *Context) {
		n.W.Set(c.Release(c.FromFloats([]float32{1, 2, 3, -1}, 4)))
		// mean of squares (1+4+4+16)/4 = 6.25; with eps 6.75
		r := 1 / math.Sqrt(6.75)
		y := n.Forward(c, c.FromFloats([]float32{1, -2, 2, 4, 0, 0, 0, 0}, 2, 4))
		wantClose(t, "rmsnorm", floats(t, y), []float64{r, -4 * r, 6 * r, -4 * r, 0, 0, 0, 0}, 1e-6)
		b := n.Forward(c, c.To(c.FromFloats([]float32{1, -2, 2, 4}, 1, 4), gotch.BFloat16))
		if b.DType() != gotch.Float { // a float32 gain promotes; a model in bf16 has its gains in bf16
			t.Errorf("bf16 input with a float32 gain gives %v, want Float", b.DType())
		}
	})
}

// naiveAttention is grouped-query attention in loops. q [T][heads][D], k, v [T][kv][D], after norm and rotation.
func naiveAttention(q, k, v []float32, T, heads, kv, D int) []float64 {
	out := make([]float64, T*heads*D)
	for t := range T {
		for h := range heads {
			g := h / (heads / kv)
			w, sum := make([]float64, t+1), 0.0
			for s := range w {
				for d := range D {
					w[s] += float64(q[(t*heads+h)*D+d]) * float64(k[(s*kv+g)*D+d])
				}
				w[s] = math.Exp(w[s] / math.Sqrt(float64(D)))
				sum += w[s]
			}
			for s := range w {
				for d := range D {
					out[(t*heads+h)*D+d] += w[s] / sum * float64(v[(s*kv+g)*D+d])
				}
			}
		}
	}
	return out
}

// Head i reads key head i/(heads/kv), rows see themselves and what is before, and norms come before the rotation.
func TestAttention(t *testing.T) {
	for _, kv := range []int{1, 2, 4} {
		const T, heads, D, width = 5, 4, 6, 10
		a := NewAttention("attn", AttentionConfig{Width: width, Heads: heads, KVHeads: int64(kv), HeadDim: D, Eps: 1e-6})
		initialized(t, a)
		run(t, func(c *Context) {
			x := c.Randn(1, T, width)
			rot := Rotary{D: D, Theta: 50}.Angles(c, c.Reshape(c.Arange(gotch.Int64, T), 1, T), gotch.Float)
			got := a.Forward(c, x, rot, CausalMask(c, T, 0, gotch.Float), nil)

			part := func(s *Slot, norm *RMSNorm, n int64) []float32 { // [T][n][D]
				y := c.Reshape(c.Linear(x, s.P.(*Linear).W.T, nil), 1, T, n, D)
				if norm != nil {
					y = c.Transpose(rot.Rotate(c, c.Transpose(norm.Forward(c, y), 1, 2)), 1, 2)
				}
				return floats(t, c.Contiguous(y))
			}
			q, k, v := part(a.QKV[0], a.QNorm, heads), part(a.QKV[1], a.KNorm, int64(kv)), part(a.QKV[2], nil, int64(kv))
			var mixed []float32
			for _, o := range naiveAttention(q, k, v, T, heads, kv, D) {
				mixed = append(mixed, float32(o))
			}
			want := c.Linear(c.FromFloats(mixed, 1, T, heads*D), a.O.P.(*Linear).W.T, nil)
			wantClose(t, "attention", floats(t, got), wide(floats(t, want)), 1e-5)
		})
	}
}

// A row that may see nothing is a number, not NaN, and rows do not see what comes later.
func TestMasks(t *testing.T) {
	const T, width = 4, 8
	d := NewDecoder("m", DecoderConfig{
		Attention: AttentionConfig{Width: width, Heads: 2, KVHeads: 1, HeadDim: 4, Eps: 1e-6},
		Inner:     12, Layers: 2, Rotary: Rotary{D: 4, Theta: 100},
	})
	initialized(t, d)
	run(t, func(c *Context) {
		at := c.Reshape(c.Arange(gotch.Int64, T), 1, T)
		x := c.Randn(1, T, width)
		y := d.Forward(c, x, at, CausalMask(c, T, 0, gotch.Float), nil)
		changed := c.Cat(1, c.Narrow(x, 1, 0, T-1), c.Randn(1, 1, width))
		z := d.Forward(c, changed, at, CausalMask(c, T, 0, gotch.Float), nil)
		head := func(x *ts.Tensor) []float32 { return floats(t, c.Contiguous(c.Narrow(x, 1, 0, T-1))) }
		if !slices.Equal(head(y), head(z)) {
			t.Error("a later row changes earlier ones")
		}
		if slices.Equal(floats(t, y), floats(t, z)) {
			t.Error("the last row does not depend on its input")
		}
		hidden := c.Full(gotch.Float, -Masked, 1, 1, T, T)
		if v := floats(t, d.Forward(c, x, at, hidden, nil)); slices.ContainsFunc(v, func(f float32) bool { return f != f }) {
			t.Error("rows that see nothing are NaN")
		}
	})
}

// A checkpointed block gives the outputs and gradients of the plain one to the bit; watchers see it once.
func TestBlockCheckpoint(t *testing.T) {
	const B, T, width = 2, 5, 8
	b := NewBlock("layers.0", AttentionConfig{Width: width, Heads: 4, KVHeads: 2, HeadDim: 6, Eps: 1e-6}, 12)
	initialized(t, b)
	var grads [2]map[string][]float32
	var outs [2][]float32
	for i := range grads {
		grads[i] = make(map[string][]float32)
		run(t, func(c *Context) {
			seen := make(map[string]int)
			c.Input = func(path string, _ *ts.Tensor) { seen[path]++ }
			tensor.Seed(3)
			x := c.Randn(B, T, width)
			for _, p := range append(Params(b), &Param{Name: "x", T: x}) {
				c.Check("grad", tensor.RequireGrad(p.T, true))
				c.Check("grad", tensor.ZeroGrad(p.T))
			}
			forward := func(in *Context, ins []*ts.Tensor) []*ts.Tensor {
				rot := Rotary{D: 6, Theta: 100}.Angles(in, in.Reshape(in.Arange(gotch.Int64, T), 1, T), gotch.Float)
				return []*ts.Tensor{b.Forward(in, ins[0], rot, CausalMask(in, T, 0, gotch.Float), nil)}
			}
			var y *ts.Tensor
			if i == 0 {
				y = forward(c, []*ts.Tensor{x})[0]
			} else {
				y = c.Checkpoint(forward, 1, x)[0]
			}
			outs[i] = floats(t, y)
			c.Check("backward", tensor.Backward(c.Sum(c.Square(y))))
			for _, p := range append(Params(b), &Param{Name: "x", T: x}) {
				g := c.Gradient(p.T)
				if g == nil {
					t.Fatalf("%s has no gradient", p.Name)
				}
				grads[i][p.Name] = floats(t, g)
			}
			for _, s := range Slots(b) {
				if seen[s.Path] != 1 {
					t.Errorf("the watcher saw %s %d times, want once", s.Path, seen[s.Path])
				}
			}
		})
	}
	if !slices.Equal(outs[0], outs[1]) {
		t.Error("outputs differ")
	}
	for name, want := range grads[0] {
		if !slices.Equal(grads[1][name], want) {
			t.Errorf("gradients of %s differ", name)
		}
	}
}
