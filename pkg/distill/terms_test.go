package distill

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
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
		{"top 2", func(c *nn.Context, t, s *ts.Tensor) *ts.Tensor { return bucketKLRows(c, topOf(c, t, 2, 1), s, 1) }},
		{"top 3 at temperature 2", func(c *nn.Context, t, s *ts.Tensor) *ts.Tensor { return bucketKLRows(c, topOf(c, t, 3, 2), s, 2) }},
		{"top of all", func(c *nn.Context, t, s *ts.Tensor) *ts.Tensor { return bucketKLRows(c, topOf(c, t, 9, 1), s, 1) }},
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
		for _, k := range []int64{1, 3} {
			l = c.Add(l, c.Sum(bucketKLRows(c, topOf(c, teacher, k, 1), student, 1)))
		}
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

// TestBucketKL holds the KL of top classes and a tail against its definition in float64, with tails from a half down to
// nothing, and against the whole KL, which it never exceeds.
func TestBucketKL(t *testing.T) {
	const V = 40
	r := rand.New(rand.NewPCG(3, 4))
	for _, sharp := range []float64{0.5, 4, 30} {
		lt, ls := make([]float32, V), make([]float32, V)
		for i := range lt {
			lt[i] = float32(sharp * r.NormFloat64())
			ls[i] = lt[i] + float32(r.NormFloat64())
		}
		softmax := func(x []float32) []float64 {
			most, sum, p := math.Inf(-1), 0.0, make([]float64, V)
			for _, v := range x {
				most = math.Max(most, float64(v))
			}
			for i, v := range x {
				p[i] = math.Exp(float64(v) - most)
				sum += p[i]
			}
			for i := range p {
				p[i] /= sum
			}
			return p
		}
		p, q := softmax(lt), softmax(ls)
		whole := 0.0
		for i := range p {
			whole += p[i] * math.Log(p[i]/q[i])
		}
		last := 0.0
		for _, k := range []int{1, 4, 16, V} {
			order := make([]int, V)
			for i := range order {
				order[i] = i
			}
			slices.SortFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
			want, pt, qt := 0.0, 0.0, 0.0
			for n, i := range order {
				if n < k {
					want += p[i] * math.Log(p[i]/q[i])
				} else {
					pt, qt = pt+p[i], qt+q[i]
				}
			}
			if pt > 0 {
				want += pt * math.Log(pt/qt)
			}
			err := nn.Run(func(c *nn.Context) error {
				got, err := tensor.Scalar(bucketKLRows(c, topOf(c, c.FromFloats(lt, 1, V), int64(k), 1), c.FromFloats(ls, 1, V), 1))
				if math.Abs(got-want) > 1e-5*(1+want) {
					t.Errorf("sharpness %v, top %d: %v, want %v", sharp, k, got, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if want > whole+1e-12 || want < last-1e-12 {
				t.Errorf("top %d: %v, want between the %v of fewer classes and the whole %v", k, want, last, whole)
			}
			last = want
		}
		if math.Abs(last-whole) > 1e-12 {
			t.Errorf("all classes: %v, want %v", last, whole)
		}
	}
}
