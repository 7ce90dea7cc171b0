package speaker

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// TDNN is a time delay layer: ReLU(conv(x)), as long as x, which is mirrored at its ends.
type TDNN struct {
	Path string
	Conv *nn.Conv1d // path.conv
}

// NewTDNN declares a layer with a kernel of k taps, dilation apart.
func NewTDNN(path string, in, out, k, dilation int64) *TDNN {
	return &TDNN{Path: path, Conv: nn.NewConv1d(path+".conv", in, out, k, nn.Conv{Dilation: dilation}, true)}
}

// Visit shows the convolution.
func (l *TDNN) Visit(v nn.Visitor) { l.Conv.Visit(v) }

// Forward maps x [B,in,T] to [B,out,T].
func (l *TDNN) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	if around := l.Conv.Span() - 1; around > 0 {
		x = c.Pad(x, tensor.PadReflect, around/2, around-around/2)
	}
	return show(c, l.Path, c.Relu(l.Conv.Forward(c, x)))
}

// pointwise is a convolution that sees one frame at a time.
func pointwise(path string, in, out int64) *nn.Conv1d {
	return nn.NewConv1d(path, in, out, 1, nn.Conv{}, true)
}

// show gives the watcher of outputs what a part of the encoder has computed.
func show(c *nn.Context, path string, y *ts.Tensor) *ts.Tensor {
	if c.Output != nil {
		c.Output(path, y)
	}
	return y
}
