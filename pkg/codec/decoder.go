package codec

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Decoder turns codes into samples. Its parameters are named by the checkpoint's keys.
type Decoder struct {
	cfg         *Config
	first, rest *quantizer
	latents     chain // at up to a few rows per frame
	blocks      chain // up to the rate of the samples
}

// What the architecture fixes.
const (
	blockKernel = 7
	nextKernel  = 7 // of the ConvNeXt blocks
	nextGrowth  = 4
	nextEps     = 1e-6
	nextGamma   = 1e-6 // of fresh weights
)

var dilations = []int64{1, 3, 9} // of the residual units of a block

func newDecoder(cfg *Config) *Decoder {
	d := &cfg.Decoder
	dec := &Decoder{
		cfg:   cfg,
		first: newDecoderQuantizer("decoder.quantizer.rvq_first", d, d.Semantic),
		rest:  newDecoderQuantizer("decoder.quantizer.rvq_rest", d, d.Quantizers-d.Semantic),
	}
	add := func(path string, l layer) { dec.latents = append(dec.latents, link{path, l}) }
	add("decoder.pre_conv", newCausalConv("decoder.pre_conv.conv", d.Width, d.Latent, 3, nn.Conv{}))
	add("decoder.pre_transformer", newDecoderTransformer("decoder.pre_transformer", d))
	for i, rate := range d.LatentRates {
		up, next := fmt.Sprintf("decoder.upsample.%d.0", i), fmt.Sprintf("decoder.upsample.%d.1", i)
		add(up, newCausalConvTranspose(up+".conv", d.Latent, d.Latent, rate, rate))
		add(next, newConvNeXt(next, d.Latent))
	}
	add = func(path string, l layer) { dec.blocks = append(dec.blocks, link{path, l}) }
	at := func(i int) string { return fmt.Sprintf("decoder.decoder.%d", i) }
	width, n := d.Channels, len(d.Rates)
	add(at(0), newCausalConv(at(0)+".conv", d.Latent, width, blockKernel, nn.Conv{}))
	for i, rate := range d.Rates {
		narrow := d.Channels >> (i + 1)
		add(at(i+1), newUpsampleBlock(at(i+1)+".block", width, narrow, rate))
		width = narrow
	}
	add(at(n+1), newSnake(at(n+1), width))
	add(at(n+2), newCausalConv(at(n+2)+".conv", width, 1, blockKernel, nn.Conv{}))
	return dec
}

// newUpsampleBlock is a SnakeBeta, a transposed convolution that multiplies the rate, and three residual units.
func newUpsampleBlock(path string, in, out, rate int64) chain {
	ch := chain{
		{layer: newSnake(path+".0", in)},
		{layer: newCausalConvTranspose(path+".1.conv", in, out, 2*rate, rate)},
	}
	for i, dilation := range dilations {
		at := fmt.Sprintf("%s.%d", path, i+2)
		ch = append(ch, link{layer: &residual{branch: chain{
			{layer: newSnake(at+".act1", out)},
			{layer: newCausalConv(at+".conv1.conv", out, out, blockKernel, nn.Conv{Dilation: dilation})},
			{layer: newSnake(at+".act2", out)},
			{layer: newCausalConv(at+".conv2.conv", out, out, 1, nn.Conv{})},
		}}})
	}
	return ch
}

// Visit shows the parts in the order of computation.
func (d *Decoder) Visit(v nn.Visitor) {
	d.first.Visit(v)
	d.rest.Visit(v)
	d.latents.Visit(v)
	d.blocks.Visit(v)
}

// Forward decodes int64 codes [B, T, G] whole: samples [B, T·hop] in [-1, 1]. It is differentiable, and holds all
// activations where gradients are recorded.
func (d *Decoder) Forward(c *nn.Context, codes *ts.Tensor) *ts.Tensor {
	return d.samples(c, d.rows(c, codes, nil), nil)
}

// rows that the blocks read: [B, C, T·latent rates].
func (d *Decoder) rows(c *nn.Context, codes *ts.Tensor, h *history) *ts.Tensor {
	semantic := int64(d.cfg.Decoder.Semantic)
	G := c.Shape(codes)[2]
	x := c.Add(d.first.decode(c, c.Narrow(codes, 2, 0, semantic)), d.rest.decode(c, c.Narrow(codes, 2, semantic, G-semantic)))
	watch(c, "decoder.quantizer", x)
	return d.latents.forward(c, x, h)
}

// samples of rows: [B, T·hop].
func (d *Decoder) samples(c *nn.Context, x *ts.Tensor, h *history) *ts.Tensor {
	return c.Squeeze(c.Clamp(d.blocks.forward(c, x, h), -1, 1), 1)
}

// convNeXt is x + γ·pw2(gelu(pw1(norm(depthwise x)))) (Liu et al. 2022).
type convNeXt struct {
	depthwise *causalConv
	norm      *nn.LayerNorm
	mlp       *geluMLP
	gamma     *nn.Param // [C]
}

func newConvNeXt(path string, width int64) *convNeXt {
	return &convNeXt{
		depthwise: newCausalConv(path+".dwconv.conv", width, width, nextKernel, nn.Conv{Groups: width}),
		norm:      nn.NewLayerNorm(path+".norm", width, nextEps),
		mlp: &geluMLP{nn.NewSlot(path+".pwconv1", width, nextGrowth*width, true),
			nn.NewSlot(path+".pwconv2", nextGrowth*width, width, true)},
		gamma: nn.NewConstant(path+".gamma", nextGamma, width),
	}
}

// Visit shows the parts in the order of computation.
func (l *convNeXt) Visit(v nn.Visitor) {
	l.depthwise.Visit(v)
	l.norm.Visit(v)
	l.mlp.Visit(v)
	l.gamma.Visit(v)
}

func (l *convNeXt) forward(c *nn.Context, x *ts.Tensor, h *history) *ts.Tensor {
	y := c.Transpose(l.depthwise.forward(c, x, h), 1, 2) // [B,T,C]
	y = c.Mul(l.gamma.T, l.mlp.Forward(c, l.norm.Forward(c, y)))
	return c.Add(x, c.Transpose(y, 1, 2))
}
