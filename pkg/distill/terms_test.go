package distill

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// TestRowGradients holds every row function, in float64, against central differences of itself.
func TestRowGradients(t *testing.T) {
	const n, v, h = 3, 5, 1e-5
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(k int) []float32 {
		x := make([]float32, k)
		for i := range x {
			x[i] = float32(2 * r.NormFloat64())
		}
		return x
	}
	teacher, student := draw(n*v), draw(n*v)
	tests := []struct {
		name string
		rows func(c *nn.Context, t, s *ts.Tensor) *ts.Tensor
	}{
		{"kl", func(c *nn.Context, t, s *ts.Tensor) *ts.Tensor { return klRows(c, t, s, 1) }},
		{"kl at temperature 3", func(c *nn.Context, t, s *ts.Tensor) *ts.Tensor { return klRows(c, t, s, 3) }},
		{"eos", func(c *nn.Context, t, s *ts.Tensor) *ts.Tensor {
			return binaryKLRows(c, eosLogit(c, t), eosLogit(c, s))
		}},
		{"cross-entropy", func(c *nn.Context, t, s *ts.Tensor) *ts.Tensor {
			return nllRows(c, s, c.FromInts([]int64{4, 0, 2}, n))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// loss of the student with element i moved by d, and its gradient
			loss := func(i int, d float64) (value float64, grad []float32) {
				err := nn.Run(func(c *nn.Context) error {
					move := c.MulScalar(c.Eq(c.Arange(gotch.Int64, n*v), c.Full(gotch.Int64, float64(i), 1)), d)
					s := c.Add(c.To(c.FromFloats(student, n*v), gotch.Double), c.To(move, gotch.Double))
					s = c.Detach(s)
					if err := tensor.RequireGrad(s, true); err != nil {
						return err
					}
					l := c.Sum(tt.rows(c, c.To(c.FromFloats(teacher, n, v), gotch.Double), c.Reshape(s, n, v)))
					if err := tensor.Backward(l); err != nil {
						return err
					}
					var err error
					if value, err = tensor.Scalar(l); err != nil {
						return err
					}
					grad, err = tensor.Floats(c.Gradient(s))
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				return value, grad
			}
			_, grad := loss(0, 0)
			for i := range grad {
				up, _ := loss(i, h)
				down, _ := loss(i, -h)
				if want := (up - down) / (2 * h); math.Abs(want-float64(grad[i])) > 1e-6 {
					t.Errorf("gradient %d is %g, central difference %g", i, grad[i], want)
				}
			}
		})
	}
}

// TestExtremeLogits: certain and impossible ends stay numbers, with gradients.
func TestExtremeLogits(t *testing.T) {
	err := nn.Run(func(c *nn.Context) error {
		teacher := c.FromFloats([]float32{80, 0, -80, 0, 0, 90}, 2, 3)
		student := c.FromFloats([]float32{-90, 0, 70, 5, 90, -90}, 2, 3)
		if err := tensor.RequireGrad(student, true); err != nil {
			return err
		}
		l := c.Sum(c.Add(binaryKLRows(c, eosLogit(c, teacher), eosLogit(c, student)), klRows(c, teacher, student, 1)))
		if err := tensor.Backward(l); err != nil {
			return err
		}
		if !c.All(c.Isfinite(l)) || !c.All(c.Isfinite(c.Gradient(student))) {
			t.Error("a term or its gradient is not finite")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
