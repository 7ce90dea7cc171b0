package codec

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// causalConv is a convolution that sees no later sample: span - stride zeros come before the signal, and after it as many
// as fill its last stride. x [B, in, T] becomes [B, out, ⌈T/stride⌉].
type causalConv struct {
	*nn.Conv1d
}

func newCausalConv(path string, in, out, k int64, o nn.Conv) *causalConv {
	return &causalConv{nn.NewConv1d(path, in, out, k, o, true)}
}

func (l *causalConv) forward(c *nn.Context, x *ts.Tensor, h *history) *ts.Tensor {
	stride := max(l.Conv.Stride, 1)
	before := l.Span() - stride
	T := c.Shape(x)[2]
	after := (T+stride-1)/stride*stride - T
	x = h.join(c, pastKey{l, "x"}, x, 2, before)
	if missing := before + T - c.Shape(x)[2]; missing > 0 || after > 0 {
		x = c.Pad(x, tensor.PadZeros, missing, after)
	}
	return l.Conv1d.Forward(c, x)
}

// causalConvTranspose upsamples by its stride r: x [B, in, T] becomes [B, out, r·T]. The kernel's reach beyond the last r
// samples of an input falls on the next input's samples.
type causalConvTranspose struct {
	*nn.ConvTranspose1d
}

func newCausalConvTranspose(path string, in, out, k, r int64) *causalConvTranspose {
	return &causalConvTranspose{nn.NewConvTranspose1d(path, in, out, k, nn.Conv{Stride: r}, true)}
}

func (l *causalConvTranspose) forward(c *nn.Context, x *ts.Tensor, h *history) *ts.Tensor {
	r, k := l.Conv.Stride, l.W.Shape[2]
	T := c.Shape(x)[2]
	if k == r {
		return l.apart(c, x)
	}
	x = h.join(c, pastKey{l, "x"}, x, 2, (k+r-1)/r-1) // the inputs that reach this far
	y := l.ConvTranspose1d.Forward(c, x)
	return c.Narrow(y, 2, (c.Shape(x)[2]-T)*r, T*r)
}

// apart is forward where no two inputs reach the same sample: one product, [B·T, in]·[in, out·r]. Libtorch would bring the
// kernel into another order first, which costs more than the product of a few rows.
func (l *causalConvTranspose) apart(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	size, out, r := c.Shape(x), l.W.Shape[1], l.W.Shape[2]
	B, in, T := size[0], size[1], size[2]
	y := c.Matmul(c.Reshape(c.Transpose(x, 1, 2), B*T, in), c.Reshape(l.W.T, in, out*r))
	y = c.Add(c.Reshape(y, B, T, out, r), c.Unsqueeze(l.B.T, 1))
	return c.Reshape(c.Permute(y, 0, 2, 1, 3), B, out, T*r)
}

// snake is the activation of the decoder; its parameters are logarithms.
type snake struct {
	alpha, beta *nn.Param // [C]
}

func newSnake(path string, channels int64) *snake {
	return &snake{nn.NewParam(path+".alpha", nn.Zeros, channels), nn.NewParam(path+".beta", nn.Zeros, channels)}
}

// Visit shows α and β.
func (l *snake) Visit(v nn.Visitor) {
	l.alpha.Visit(v)
	l.beta.Visit(v)
}

func (l *snake) forward(c *nn.Context, x *ts.Tensor, _ *history) *ts.Tensor {
	return SnakeBeta(c, x, l.alpha.T, l.beta.T)
}

// SnakeBeta is x + sin²(x·exp α) / (exp β + 1e-9) for x [B, C, T] and α, β [C].
func SnakeBeta(c *nn.Context, x, alpha, beta *ts.Tensor) *ts.Tensor {
	frequency := c.Unsqueeze(c.Exp(alpha), 1)                          // [C, 1]
	scale := c.Pow(c.AddScalar(c.Unsqueeze(c.Exp(beta), 1), 1e-9), -1) // [C, 1]
	return c.Add(x, c.Mul(scale, c.Square(c.Sin(c.Mul(x, frequency)))))
}

// elu is the activation of the encoder.
type elu struct{}

// Visit shows nothing: there are no parameters.
func (elu) Visit(nn.Visitor) {}

func (elu) forward(c *nn.Context, x *ts.Tensor, _ *history) *ts.Tensor { return c.Elu(x) }

// residual adds what a chain of layers makes of x to x, or to what a shortcut makes of it.
type residual struct {
	branch   chain
	shortcut layer // nil: the identity
}

// Visit shows the branch, then the shortcut.
func (l *residual) Visit(v nn.Visitor) {
	l.branch.Visit(v)
	if l.shortcut != nil {
		l.shortcut.Visit(v)
	}
}

func (l *residual) forward(c *nn.Context, x *ts.Tensor, h *history) *ts.Tensor {
	y := l.branch.forward(c, x, h)
	if l.shortcut != nil {
		x = l.shortcut.forward(c, x, h)
	}
	return c.Add(x, y)
}
