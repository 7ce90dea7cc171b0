package nn

import "github.com/sugarme/gotch/ts"

// LayerNorm is w · (x - mean)/√(variance + eps) + b over the last dimension (Ba et al. 2016).
type LayerNorm struct {
	W, B *Param // [width]
	Eps  float64
}

// NewLayerNorm declares path.weight and path.bias of the given width.
func NewLayerNorm(path string, width int64, eps float64) *LayerNorm {
	return &LayerNorm{W: NewParam(path+".weight", Ones, width), B: NewParam(path+".bias", Zeros, width), Eps: eps}
}

// Visit shows gain and bias.
func (n *LayerNorm) Visit(v Visitor) {
	n.W.Visit(v)
	n.B.Visit(v)
}

// Forward normalizes x [..., width].
func (n *LayerNorm) Forward(c *Context, x *ts.Tensor) *ts.Tensor {
	return c.LayerNorm(x, n.W.T, n.B.T, n.Eps)
}
