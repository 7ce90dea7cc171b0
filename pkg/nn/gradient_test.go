package nn

import (
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Every parameter of a decoder, and its input, get the gradient of the function that the decoder computes. The float32
// statistics of the norms and of the softmax limit the agreement.
func TestDecoderGradients(t *testing.T) {
	d := NewDecoder("d", DecoderConfig{
		Attention: AttentionConfig{Width: 4, Heads: 2, KVHeads: 1, HeadDim: 2, Eps: 1e-6},
		Inner:     6, Layers: 1, Rotary: Rotary{D: 2, Theta: 100},
	})
	defer Close(d)
	err := Run(func(c *Context) error {
		if err := Init(d, 3, 0.5); err != nil {
			return err
		}
		x, weights := c.Randn(1, 3, 4), c.To(c.Randn(1, 3, 4), gotch.Double)
		positions := c.Reshape(c.Arange(gotch.Int64, 3), 1, 3)
		leaves := []testkit.Leaf{{Name: "x", T: &x}}
		for _, p := range Params(d) {
			leaves = append(leaves, testkit.Leaf{Name: p.Name, T: &p.T})
		}
		testkit.Gradients(t, 1e-2, 3e-3, func(s *tensor.Scope) *ts.Tensor {
			in := &Context{Scope: s}
			y := d.Forward(in, x, positions, CausalMask(in, 3, 0, gotch.Double), nil)
			return s.Sum(s.Mul(y, weights))
		}, leaves...)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
