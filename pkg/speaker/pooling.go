package speaker

import (
	"math"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Pooling is attentive statistics pooling: mean and deviation over time, with weights per channel and frame that it
// computes from the frame and from the plain mean and deviation of the clip (Okabe et al. 2018, arXiv:1803.10963).
type Pooling struct {
	Path  string
	Hid   *TDNN      // path.tdnn
	Score *nn.Conv1d // path.conv
}

func newPooling(path string, channels, attention int64) *Pooling {
	return &Pooling{
		Path:  path,
		Hid:   NewTDNN(path+".tdnn", 3*channels, attention, 1, 1),
		Score: pointwise(path+".conv", attention, channels),
	}
}

// Visit shows both layers.
func (p *Pooling) Visit(v nn.Visitor) {
	p.Hid.Visit(v)
	p.Score.Visit(v)
}

// Forward maps x [B,C,T] to mean and deviation, [B,2C,1].
func (p *Pooling) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	mean := c.MeanDim(x, true, 2) // [B,C,1]
	std := deviation(c, c.MeanDim(c.Square(c.Sub(x, mean)), true, 2))
	context := c.Cat(1, x, c.Expand(mean, c.Shape(x)...), c.Expand(std, c.Shape(x)...))
	a := c.Softmax(p.Score.Forward(c, c.Tanh(p.Hid.Forward(c, context))), 2) // [B,C,T]
	mean = c.SumDim(c.Mul(a, x), true, 2)
	std = deviation(c, c.SumDim(c.Mul(a, c.Square(c.Sub(x, mean))), true, 2))
	return show(c, p.Path, c.Cat(1, mean, std))
}

// deviation is √variance, kept away from the zero where it has no slope.
func deviation(c *nn.Context, variance *ts.Tensor) *ts.Tensor {
	return c.Sqrt(c.Clamp(variance, 1e-12, math.Inf(1)))
}
