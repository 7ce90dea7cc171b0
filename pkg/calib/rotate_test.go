package calib

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// states of a decoder [1, 5, 64] for a fixed input.
func states(t *testing.T, d *nn.Decoder) (out []float32) {
	t.Helper()
	err := nn.Run(func(c *nn.Context) (err error) {
		x := c.FromFloats(heavyTails(rand.New(rand.NewPCG(2, 2)), 5*64), 1, 5, 64)
		pos := c.Reshape(c.Arange(gotch.Int64, 5), 1, 5)
		nn.NoGrad(func() { out, err = tensor.Floats(d.Forward(c, x, pos, nn.CausalMask(c, 5, 0, gotch.Float), nil)) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A rotated decoder computes what it did, whatever its gains, and so does one whose scales then move between its layers.
func TestRotateKeepsTheFunction(t *testing.T) {
	d := fresh(t)
	r := rand.New(rand.NewPCG(5, 5))
	for _, b := range d.Blocks {
		for _, gain := range []*nn.Param{b.InputNorm.W, b.PostNorm.W, b.Attn.QNorm.W, d.Norm.W} {
			v := make([]float32, gain.Shape[0])
			for i := range v {
				v[i] = float32(r.NormFloat64()) // also negative, and one of 0, which can be no divisor
			}
			v[3] = 0
			gain.Set(tensorOf(t, v))
		}
	}
	before := states(t, d)
	same := func(what string) {
		t.Helper()
		for i, v := range states(t, d) {
			if math.Abs(float64(v-before[i])) > 3e-5 {
				t.Fatalf("%s: output %d is %v, was %v", what, i, v, before[i])
			}
		}
	}
	if err := Rotate(d, nil, 7); err != nil {
		t.Fatal(err)
	}
	same("rotated")
	if h := (nn.Hadamard{Block: 64, Seed: 7}); d.Rotation != h || d.Blocks[1].MLP.Down.Transform != (nn.Hadamard{Block: 96}) {
		t.Errorf("rotations %v and %v", d.Rotation, d.Blocks[1].MLP.Down.Transform)
	}
	places := Folds(d)
	if len(places) != 6 {
		t.Errorf("%d places for scales in two blocks, want 6: none before down_proj", len(places))
	}
	for _, f := range places {
		scale := make([]float32, f.Readers[0].In)
		for i := range scale {
			scale[i] = 1 + float32(i%32)/32 // value heads are 32 wide
		}
		if err := f.Apply(scale); err != nil {
			t.Fatal(err)
		}
	}
	same("rotated and folded")
	if err := Rotate(d, nil, 7); err == nil || !strings.Contains(err.Error(), "rotate m: its residual stream is turned already") {
		t.Errorf("error %v of a second rotation", err)
	}
	s := nn.NewSlot("x", 4, 4, false)
	defer nn.Close(s)
	if err := Rotate(s, nil, 7); err == nil || !strings.Contains(err.Error(), "no decoder") {
		t.Errorf("error %v without a decoder", err)
	}
}

// tensorOf is a parameter's value.
func tensorOf(t *testing.T, v []float32) (out *ts.Tensor) {
	t.Helper()
	if err := nn.Run(func(c *nn.Context) error { out = c.Release(c.FromFloats(v, int64(len(v)))); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}
