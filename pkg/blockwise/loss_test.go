package blockwise

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const toyWidth, toyRows = 16, 5

// toy is a float block of one decoder over two sequences, the second with two rows of padding.
func toy(t *testing.T) (*talker.Part, *talker.Batch) {
	t.Helper()
	d := nn.NewDecoder("toy", nn.DecoderConfig{
		Attention: nn.AttentionConfig{Width: toyWidth, Heads: 2, KVHeads: 1, HeadDim: 8, Eps: 1e-6}, Inner: 24, Layers: 1,
		Rotary: nn.Rotary{D: 8, Theta: 1e4},
	})
	check(t, nn.Init(d, 1, 0.3))
	t.Cleanup(func() { nn.Close(d) })
	b := &talker.Batch{B: 2, T: toyRows, Mask: []int64{1, 1, 1, 1, 1, 1, 1, 1, 0, 0}}
	return &talker.Part{Path: "toy", Block: d.Blocks[0], Padded: true, Forward: func(c *nn.Context, b *talker.Batch, x *ts.Tensor) *ts.Tensor {
		mask := nn.CausalMask(c, toyRows, 0, x.DType())
		return d.Layer(c, 0, x, c.FromInts(b.Positions(), int64(b.B), int64(b.T)), mask)
	}}, b
}

func noise(seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, 2*toyRows*toyWidth)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// lossOf is the loss and, with grads, what it asks of each parameter.
func lossOf(t *testing.T, part *talker.Part, b *talker.Batch, x, target []float32, grads bool) (v float64, out map[string][]float32) {
	t.Helper()
	check(t, nn.Run(func(c *nn.Context) error {
		in, want := c.FromFloats(x, 2, toyRows, toyWidth), c.FromFloats(target, 2, toyRows, toyWidth)
		l := loss(c, part, b, part.Forward(c, b, in), want)
		var err error
		if v, err = tensor.Scalar(l); err != nil || !grads {
			return err
		}
		if err := tensor.Backward(l); err != nil {
			return err
		}
		out = map[string][]float32{}
		for _, p := range nn.Params(part.Block) {
			if out[p.Name], err = tensor.Floats(c.Gradient(p.T)); err != nil {
				return err
			}
			if err := tensor.ZeroGrad(p.T); err != nil {
				return err
			}
		}
		return nil
	}))
	return v, out
}

// The loss is the mean over real rows by a loop; its gradient is that of finite differences; and neither depends on what stands
// in the padding.
func TestLoss(t *testing.T) {
	part, b := toy(t)
	for _, p := range nn.Params(part.Block) {
		check(t, tensor.RequireGrad(p.T, true))
	}
	x, target := noise(1), noise(2)
	v, grads := lossOf(t, part, b, x, target, true)

	var y []float32
	check(t, nn.Run(func(c *nn.Context) (err error) {
		y, err = tensor.Floats(part.Forward(c, b, c.FromFloats(x, 2, toyRows, toyWidth)))
		return err
	}))
	sum, n := 0.0, 0
	for i := range y {
		if b.Mask[i/toyWidth] != 0 {
			d := float64(y[i]) - float64(target[i])
			sum, n = sum+d*d, n+1
		}
	}
	if want := sum / float64(n); math.Abs(v-want) > 1e-5*want {
		t.Errorf("loss %v, want %v", v, want)
	}

	for _, p := range nn.Params(part.Block) {
		values, err := tensor.Floats(p.T)
		check(t, err)
		at := func(i int, by float32) float64 {
			moved := slices.Clone(values)
			moved[i] += by
			check(t, nn.Run(func(c *nn.Context) error {
				p.Set(c.Release(c.FromFloats(moved, p.Shape...)))
				return nil
			}))
			v, _ := lossOf(t, part, b, x, target, false)
			return v
		}
		largest := 0.0
		for _, g := range grads[p.Name] {
			largest = max(largest, math.Abs(float64(g)))
		}
		for i := 0; i < len(values); i += 1 + len(values)/5 {
			const eps = 5e-3
			want := (at(i, eps) - at(i, -eps)) / (2 * eps)
			if got := float64(grads[p.Name][i]); math.Abs(got-want) > 0.01*largest+1e-4 {
				t.Errorf("%s[%d]: gradient %v, by differences %v", p.Name, i, got, want)
			}
		}
		at(0, 0)
	}

	for _, p := range nn.Params(part.Block) {
		check(t, tensor.RequireGrad(p.T, true))
	}
	for i := range x {
		if b.Mask[i/toyWidth] == 0 {
			x[i], target[i] = 100, -100
		}
	}
	again, same := lossOf(t, part, b, x, target, true)
	if again != v {
		t.Errorf("loss %v with other padding, %v before", again, v)
	}
	for name, g := range grads {
		if !slices.Equal(same[name], g) {
			t.Errorf("%s: the gradient depends on the padding", name)
		}
	}
}
