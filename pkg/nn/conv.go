package nn

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch/ts"
)

// Conv is the geometry of a convolution: Stride, Dilation, Groups; a zero field means 1.
type Conv = tensor.Conv

// kernel is the parameters of a convolution.
type kernel struct {
	W    *Param
	B    *Param // [out], or nil
	Conv Conv
}

func newKernel(path string, rows, cols, k, out int64, o Conv, bias bool) kernel {
	l := kernel{W: NewParam(path+".weight", FanIn, rows, cols, k), Conv: o}
	if bias {
		l.B = NewParam(path+".bias", Zeros, out)
	}
	return l
}

// Visit shows weight and bias.
func (l *kernel) Visit(v Visitor) {
	l.W.Visit(v)
	l.B.Visit(v)
}

// Conv1d is a convolution over time. It does not pad. W is [out, in/groups, k].
type Conv1d struct{ kernel }

// NewConv1d declares path.weight and, with bias, path.bias.
func NewConv1d(path string, in, out, k int64, o Conv, bias bool) *Conv1d {
	return &Conv1d{newKernel(path, out, in/max(o.Groups, 1), k, out, o, bias)}
}

// Forward maps x [B, in, T] to [B, out, (T - Span)/stride + 1].
func (l *Conv1d) Forward(c *Context, x *ts.Tensor) *ts.Tensor {
	return c.Conv1d(x, l.W.T, l.B.value(), l.Conv)
}

// Span is the number of input samples that one output sees: (k-1)·dilation + 1.
func (l *Conv1d) Span() int64 { return (l.W.Shape[2]-1)*max(l.Conv.Dilation, 1) + 1 }

// ConvTranspose1d spreads each input sample over k output samples, stride apart. W is [in, out/groups, k].
type ConvTranspose1d struct{ kernel }

// NewConvTranspose1d declares path.weight and, with bias, path.bias.
func NewConvTranspose1d(path string, in, out, k int64, o Conv, bias bool) *ConvTranspose1d {
	return &ConvTranspose1d{newKernel(path, in, out/max(o.Groups, 1), k, out, o, bias)}
}

// Forward maps x [B, in, T] to [B, out, (T-1)·stride + (k-1)·dilation + 1].
func (l *ConvTranspose1d) Forward(c *Context, x *ts.Tensor) *ts.Tensor {
	return c.ConvTranspose1d(x, l.W.T, l.B.value(), l.Conv)
}
