package nn

import (
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/memory"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func deep(layers int, width, inner int64) *Decoder {
	return NewDecoder("d", DecoderConfig{
		Attention: AttentionConfig{Width: width, Heads: 4, KVHeads: 2, HeadDim: width / 4, Eps: 1e-6},
		Inner:     inner, Layers: layers, Rotary: Rotary{D: width / 4, Theta: 1e4},
	})
}

// through runs d over x [B,T,H] and back, and returns the gradients of everything, the input's first.
func through(t *testing.T, d *Decoder, x *ts.Tensor, recompute, mask bool, watch func(string)) (grads [][]float32) {
	t.Helper()
	leaves := []*ts.Tensor{x}
	for _, p := range Params(d) {
		leaves = append(leaves, p.T)
	}
	run(t, func(c *Context) {
		var loss *ts.Tensor
		c.Nest(func(in *Context) {
			in.Recompute = recompute
			if watch != nil {
				in.Input = func(path string, _ *ts.Tensor) { watch(path) }
				in.Output = func(path string, _ *ts.Tensor) { watch("out " + path) }
			}
			T := in.Shape(x)[1]
			at := make([]int64, T)
			for i := range at {
				at[i] = int64(i)
			}
			var m *ts.Tensor
			if mask {
				m = CausalMask(in, T, 0, gotch.Float)
			}
			y := d.Forward(in, x, in.FromInts(at, 1, T), m, nil)
			loss = in.Promote(in.Sum(in.Square(y)))
		})
		if err := tensor.Backward(loss); err != nil {
			t.Fatal(err)
		}
		for _, l := range leaves {
			grads = append(grads, floats(t, c.Gradient(l)))
			if err := tensor.ZeroGrad(l); err != nil {
				t.Fatal(err)
			}
		}
	})
	return grads
}

// recording gives d and its input gradients.
func recording(t *testing.T, d *Decoder, x *ts.Tensor) {
	t.Helper()
	for _, p := range append(Params(d), &Param{T: x}) {
		if err := tensor.RequireGrad(p.T, true); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecomputedGradientsAreBitEqual(t *testing.T) {
	d := deep(3, 16, 24)
	initialized(t, d)
	run(t, func(c *Context) {
		x := c.Randn(2, 5, 16)
		recording(t, d, x)
		for _, mask := range []bool{true, false} {
			var seen, again []string
			want := through(t, d, x, false, mask, func(path string) { seen = append(seen, path) })
			got := through(t, d, x, true, mask, func(path string) { again = append(again, path) })
			for i := range want {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("mask %v: gradient %d is %v…, want %v…", mask, i, got[i][:2], want[i][:2])
				}
			}
			if !slices.Equal(seen, again) || len(seen) != 3*8 {
				t.Errorf("watchers saw %d things with recomputation, %d without", len(again), len(seen))
			}
		}
	})
}

// Recomputation leaves one block's activations instead of all, and a pass without a graph has no more either.
func TestRecomputationSavesMemory(t *testing.T) {
	if err := memory.ResetPeak(); err != nil {
		t.Skip(err)
	}
	d := deep(16, 64, 192)
	initialized(t, d)
	run(t, func(c *Context) {
		x := c.Randn(8, 128, 64)
		recording(t, d, x)
		used := func(f func()) float64 {
			f() // what the library needs itself
			tensor.Trim()
			if err := memory.ResetPeak(); err != nil {
				t.Fatal(err)
			}
			before, err := memory.Now()
			if err != nil {
				t.Fatal(err)
			}
			f()
			peak, err := memory.PeakAnonymous()
			if err != nil {
				t.Fatal(err)
			}
			return float64(peak-before.Anonymous) / (1 << 20)
		}
		plain := used(func() { through(t, d, x, false, true, nil) })
		less := used(func() { through(t, d, x, true, true, nil) })
		free := used(func() {
			NoGrad(func() {
				c.Nest(func(in *Context) {
					d.Forward(in, x, in.FromInts(make([]int64, 128), 1, 128), CausalMask(in, 128, 0, gotch.Float), nil)
				})
			})
		})
		t.Logf("MiB: %.1f plain, %.1f recomputed, %.1f without a graph", plain, less, free)
		if less > 0.35*plain || free > 0.3*plain {
			t.Errorf("%.1f MiB recomputed and %.1f without a graph, want at most 35 %% and 30 %% of %.1f", less, free, plain)
		}
	})
}
