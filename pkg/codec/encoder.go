package codec

import (
	"fmt"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Encoder turns samples into codes. Its parameters are named by the checkpoint's keys.
type Encoder struct {
	cfg        *Config
	conv       chain        // strided convolutions
	attend     *transformer // full attention: the configured window is not applied
	downsample *downsample  // nil where the convolutions have the frame rate already
	semantic   *quantizer
	acoustic   *quantizer // starts from the latents again
}

func newEncoder(cfg *Config) *Encoder {
	e := &cfg.Encoder
	enc := &Encoder{
		cfg:      cfg,
		conv:     newSEANet("encoder.encoder", e),
		attend:   newEncoderTransformer("encoder.encoder_transformer", e),
		semantic: newEncoderQuantizer("encoder.quantizer.semantic_residual_vector_quantizer", e, e.Semantic),
		acoustic: newEncoderQuantizer("encoder.quantizer.acoustic_residual_vector_quantizer", e, e.Quantizers-e.Semantic),
	}
	if hop, _ := product(e.Rates); hop != cfg.DownsampleRate {
		enc.downsample = &downsample{nn.NewConv1d("encoder.downsample.conv", e.Hidden, e.Hidden, 4, nn.Conv{Stride: 2}, false)}
	}
	return enc
}

// newSEANet is the convolutional encoder of EnCodec (Défossez et al. 2022): residual units, and between them an ELU and a
// convolution that halves or more the rate and doubles the channels.
func newSEANet(path string, e *EncoderConfig) chain {
	var ch chain
	at := func() string { return fmt.Sprintf("%s.layers.%d", path, len(ch)) }
	add := func(l layer) { ch = append(ch, link{at(), l}) }
	conv := func(in, out, k, stride int64) {
		add(newCausalConv(at()+".conv", in, out, k, nn.Conv{Stride: stride}))
	}
	width := e.Filters
	conv(1, width, e.Kernel, 1)
	for _, rate := range slices.Backward(e.Rates) {
		dilation := int64(1)
		for range e.ResidualLayers {
			add(newResidualUnit(at(), e, width, dilation))
			dilation *= e.DilationGrowth
		}
		add(elu{})
		conv(width, 2*width, 2*rate, rate)
		width *= 2
	}
	add(elu{})
	conv(width, e.Hidden, e.LastKernel, 1)
	return ch
}

// newResidualUnit is x + conv1(elu(conv(elu x))), the first convolution dilated and narrowing.
func newResidualUnit(path string, e *EncoderConfig, width, dilation int64) layer {
	r := &residual{branch: chain{
		{layer: elu{}},
		{layer: newCausalConv(path+".block.1.conv", width, width/e.Compress, e.ResidualKernel, nn.Conv{Dilation: dilation})},
		{layer: elu{}},
		{layer: newCausalConv(path+".block.3.conv", width/e.Compress, width, 1, nn.Conv{})},
	}}
	if e.Shortcut {
		r.shortcut = newCausalConv(path+".shortcut.conv", width, width, 1, nn.Conv{})
	}
	return r
}

// downsample halves the rate: two copies of the first row come before the signal, and one of the last after an odd number.
type downsample struct{ *nn.Conv1d }

func (d *downsample) forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	return d.Conv1d.Forward(c, c.Pad(x, tensor.PadReplicate, d.Span()-2, c.Shape(x)[2]%2))
}

// Visit shows the parts in the order of computation.
func (e *Encoder) Visit(v nn.Visitor) {
	e.conv.Visit(v)
	e.attend.Visit(v)
	if e.downsample != nil {
		e.downsample.Visit(v)
	}
	e.semantic.Visit(v)
	e.acoustic.Visit(v)
}

// Latents of samples wav [B, 1, N], in the parameters' dtype: [B, C, ⌈N/hop⌉], before quantization.
func (e *Encoder) Latents(c *nn.Context, wav *ts.Tensor) *ts.Tensor {
	return e.rows(c, e.conv.forward(c, wav, nil))
}

// rows are the latents of the convolutions' output x [B, C, T].
func (e *Encoder) rows(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	x = e.attend.forward(c, x, nil)
	watch(c, "encoder.encoder_transformer", x)
	if e.downsample != nil {
		x = e.downsample.forward(c, x)
		watch(c, "encoder.downsample", x)
	}
	return x
}

// Quantize latents [B, C, T] by the first n codebooks: int64 codes [B, T, n]. Nothing is differentiable.
func (e *Encoder) Quantize(c *nn.Context, latents *ts.Tensor, n int) *ts.Tensor {
	if most := e.cfg.Encoder.Quantizers; n < 1 || n > most {
		c.Fail("quantize", "%d codebooks, want 1 to num_quantizers %d", n, most)
	}
	semantic := min(n, e.cfg.Encoder.Semantic)
	ids := e.semantic.encode(c, latents, semantic)
	return c.Stack(2, append(ids, e.acoustic.encode(c, latents, n-semantic)...)...)
}
