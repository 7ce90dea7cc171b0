package nn

import (
	"math"
	"math/bits"

	"github.com/sugarme/gotch/ts"
)

// ChannelScale divides the input by a scale per channel (SmoothQuant, AWQ); the weight's columns carry the inverse.
type ChannelScale struct{ S *Param } // [in]

// NewChannelScale declares path.input_channel_scale.
func NewChannelScale(path string, in int64) *ChannelScale {
	return &ChannelScale{S: NewParam(path+".input_channel_scale", Ones, in)}
}

// Visit shows the scale.
func (t *ChannelScale) Visit(v Visitor) { t.S.Visit(v) }

// Apply is x / s.
func (t *ChannelScale) Apply(c *Context, x *ts.Tensor) *ts.Tensor { return c.Div(x, t.S.T) }

// Hadamard rotates the last dimension by the orthonormal Walsh–Hadamard matrix, block by block (QuaRot §3).
type Hadamard struct{ Block int64 } // a power of two that divides the width

// Visit shows nothing: the rotation has no parameters.
func (Hadamard) Visit(Visitor) {}

// Apply maps x [..., n·Block] in log₂(Block) butterfly passes.
func (h Hadamard) Apply(c *Context, x *ts.Tensor) *ts.Tensor {
	shape := c.Shape(x)
	width := shape[len(shape)-1]
	if h.Block <= 0 || h.Block&(h.Block-1) != 0 || width%h.Block != 0 {
		c.Fail("hadamard", "block %d does not fit width %d: want a power of two that divides it", h.Block, width)
	}
	y := x
	for i := range bits.TrailingZeros64(uint64(h.Block)) {
		y = c.Reshape(y, -1, 2, 1<<i) // pairs of runs that are 2^i apart
		a, b := c.Narrow(y, 1, 0, 1), c.Narrow(y, 1, 1, 1)
		y = c.Cat(1, c.Add(a, b), c.Sub(a, b))
	}
	return c.Reshape(c.MulScalar(y, 1/math.Sqrt(float64(h.Block))), shape...)
}
