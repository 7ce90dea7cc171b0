package nn

import "github.com/sugarme/gotch/ts"

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
