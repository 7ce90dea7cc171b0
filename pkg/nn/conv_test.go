package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestLayerNorm(t *testing.T) {
	n := NewLayerNorm("norm", 3, 1./3)
	initialized(t, n)
	run(t, func(c *Context) {
		n.W.Set(c.Release(c.FromFloats([]float32{1, 2, -1}, 3)))
		n.B.Set(c.Release(c.FromFloats([]float32{0, 5, 1}, 3)))
		// 1, 2, 3: mean 2, variance 2/3; with eps 1
		wantClose(t, "layer norm", floats(t, n.Forward(c, c.FromFloats([]float32{1, 2, 3, 4, 4, 4}, 2, 3))), []float64{-1, 5, 0, 0, 5, 1}, 1e-6)
	})
}

// Kernels have the checkpoint's layouts, a bias only where one is declared, and an initial scale by their fan-in.
func TestConvParameters(t *testing.T) {
	conv := NewConv1d("a", 64, 96, 5, Conv{Groups: 2, Dilation: 3}, true)
	up := NewConvTranspose1d("b", 64, 32, 4, Conv{Stride: 2}, false)
	initialized(t, conv)
	initialized(t, up)
	var names []string
	for _, p := range append(Params(conv), Params(up)...) {
		names = append(names, p.Name)
	}
	if want := []string{"a.weight", "a.bias", "b.weight"}; !slices.Equal(names, want) {
		t.Errorf("parameters %v, want %v", names, want)
	}
	if !slices.Equal(conv.W.Shape, []int64{96, 32, 5}) || !slices.Equal(up.W.Shape, []int64{64, 32, 4}) {
		t.Errorf("kernels have shapes %v and %v", conv.W.Shape, up.W.Shape)
	}
	if conv.Span() != 13 {
		t.Errorf("span %d, want 13", conv.Span())
	}
	var squares float64
	for _, w := range floats(t, conv.W.T) {
		squares += float64(w) * float64(w)
	}
	if std := math.Sqrt(squares / float64(conv.W.NumElements())); math.Abs(std*math.Sqrt(32*5)-1) > 0.03 {
		t.Errorf("initial deviation %v, want %v", std, 1/math.Sqrt(32*5))
	}
	gain := NewConstant("gain", 0.25, 2)
	initialized(t, gain)
	wantClose(t, "a constant", floats(t, gain.T), []float64{0.25, 0.25}, 0)
	run(t, func(c *Context) {
		if got := c.Shape(conv.Forward(c, c.Randn(2, 64, 20))); !slices.Equal(got, []int64{2, 96, 8}) {
			t.Errorf("convolution gives %v", got)
		}
		if got := c.Shape(up.Forward(c, c.Randn(2, 64, 7))); !slices.Equal(got, []int64{2, 32, 16}) {
			t.Errorf("transposed convolution gives %v", got)
		}
	})
}

// Weights, biases and inputs get the gradients of what is computed.
func TestConvGradients(t *testing.T) {
	down := NewConv1d("a", 2, 4, 3, Conv{Stride: 2, Groups: 2}, true)
	up, norm := NewConvTranspose1d("b", 4, 3, 4, Conv{Stride: 2}, true), NewLayerNorm("n", 3, 1e-5)
	modules := []Module{down, up, norm}
	run(t, func(c *Context) {
		x, weights := c.Randn(1, 2, 9), c.To(c.Randn(1, 10, 3), gotch.Double)
		leaves := []testkit.Leaf{{Name: "x", T: &x}}
		for _, m := range modules {
			initialized(t, m)
			for _, p := range Params(m) {
				leaves = append(leaves, testkit.Leaf{Name: p.Name, T: &p.T})
			}
		}
		testkit.Gradients(t, 1e-4, 1e-5, func(s *tensor.Scope) *ts.Tensor {
			in := &Context{Scope: s}
			y := up.Forward(in, in.Elu(down.Forward(in, x)))
			return s.Sum(s.Mul(norm.Forward(in, in.Transpose(y, 1, 2)), weights))
		}, leaves...)
	})
}
