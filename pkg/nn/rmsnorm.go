package nn

import (
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// RMSNorm is w · x/√(mean(x²) + eps) over the last dimension (Zhang and Sennrich 2019). Statistics are float32; the
// product with w is in x's dtype, as in the reference model.
type RMSNorm struct {
	W   *Param
	Eps float64
}

// NewRMSNorm declares path.weight of the given width.
func NewRMSNorm(path string, width int64, eps float64) *RMSNorm {
	return &RMSNorm{W: NewParam(path+".weight", Ones, width), Eps: eps}
}

// Visit shows the gain.
func (n *RMSNorm) Visit(v Visitor) { n.W.Visit(v) }

// Forward normalizes x [..., width], on the CPU in one pass.
func (n *RMSNorm) Forward(c *Context, x *ts.Tensor) *ts.Tensor {
	if c.Fuses(x, n.W.T) {
		return c.RMSNorm(x, n.W.T, n.Eps)
	}
	return n.composite(c, x)
}

// composite is Forward in tensor operations: what other devices compute, and what tests compare with.
func (n *RMSNorm) composite(c *Context, x *ts.Tensor) *ts.Tensor {
	x32 := c.as(x, gotch.Float)
	rms := c.Rsqrt(c.AddScalar(c.MeanDim(c.Mul(x32, x32), true, -1), n.Eps))
	return c.Mul(n.W.T, c.as(c.Mul(x32, rms), x.DType()))
}
