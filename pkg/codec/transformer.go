package codec

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// part is where the blocks of the two halves differ: LayerNorm and a GELU layer in the encoder, RMSNorm and SwiGLU in
// the decoder.
type part interface {
	nn.Module
	Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor
}

// block is x + scale·attention(norm x), then x + scale·feed(norm x).
type block struct {
	norm1, norm2, feed part
	attn               *attention
	scale1, scale2     *nn.Param
}

// newBlock declares attention and scales under path; the caller gives the rest.
func newBlock(path string, cfg *Transformer, window int64, norm1, norm2, feed part) *block {
	return &block{
		norm1: norm1, norm2: norm2, feed: feed,
		attn:   newAttention(path+".self_attn", cfg, window),
		scale1: nn.NewConstant(path+".self_attn_layer_scale.scale", cfg.LayerScale, cfg.Hidden),
		scale2: nn.NewConstant(path+".mlp_layer_scale.scale", cfg.LayerScale, cfg.Hidden),
	}
}

// Visit shows the parts in the order of computation.
func (b *block) Visit(v nn.Visitor) {
	b.norm1.Visit(v)
	b.attn.Visit(v)
	b.scale1.Visit(v)
	b.norm2.Visit(v)
	b.feed.Visit(v)
	b.scale2.Visit(v)
}

func (b *block) forward(c *nn.Context, x *ts.Tensor, angles nn.Angles, h *history) *ts.Tensor {
	x = scaled(c, x, b.scale1, b.attn.forward(c, b.norm1.Forward(c, x), angles, h))
	return scaled(c, x, b.scale2, b.feed.Forward(c, b.norm2.Forward(c, x)))
}

// geluMLP is fc2(gelu(fc1 x)).
type geluMLP struct{ up, down *nn.Slot }

// Visit shows the projections.
func (m *geluMLP) Visit(v nn.Visitor) {
	m.up.Visit(v)
	m.down.Visit(v)
}

// Forward maps x [..., H] to [..., H].
func (m *geluMLP) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	return m.down.Forward(c, c.Gelu(m.up.Forward(c, x)))
}

// transformer runs blocks over the time of x [B, C, T]. The decoder's has a final norm and projects in and out.
type transformer struct {
	cfg     *Transformer
	blocks  []*block
	in, out *nn.Slot    // nil in the encoder
	norm    *nn.RMSNorm // nil in the encoder
}

func newEncoderTransformer(path string, cfg *EncoderConfig) *transformer {
	t := &transformer{cfg: &cfg.Transformer}
	for i := range cfg.Layers {
		at := fmt.Sprintf("%s.layers.%d", path, i)
		mlp := &geluMLP{nn.NewSlot(at+".mlp.fc1", cfg.Hidden, cfg.Intermediate, false), nn.NewSlot(at+".mlp.fc2", cfg.Intermediate, cfg.Hidden, false)}
		t.blocks = append(t.blocks, newBlock(at, t.cfg, 0, nn.NewLayerNorm(at+".input_layernorm", cfg.Hidden, cfg.Eps),
			nn.NewLayerNorm(at+".post_attention_layernorm", cfg.Hidden, cfg.Eps), mlp))
	}
	return t
}

func newDecoderTransformer(path string, cfg *DecoderConfig) *transformer {
	t := &transformer{
		cfg:  &cfg.Transformer,
		in:   nn.NewSlot(path+".input_proj", cfg.Latent, cfg.Hidden, true),
		out:  nn.NewSlot(path+".output_proj", cfg.Hidden, cfg.Latent, true),
		norm: nn.NewRMSNorm(path+".norm", cfg.Hidden, cfg.Eps),
	}
	for i := range cfg.Layers {
		at := fmt.Sprintf("%s.layers.%d", path, i)
		t.blocks = append(t.blocks, newBlock(at, t.cfg, cfg.Window, nn.NewRMSNorm(at+".input_layernorm", cfg.Hidden, cfg.Eps),
			nn.NewRMSNorm(at+".post_attention_layernorm", cfg.Hidden, cfg.Eps), nn.NewMLP(at+".mlp", cfg.Hidden, cfg.Intermediate)))
	}
	return t
}

// Visit shows the parts in the order of computation.
func (t *transformer) Visit(v nn.Visitor) {
	if t.in != nil {
		t.in.Visit(v)
	}
	for _, b := range t.blocks {
		b.Visit(v)
	}
	if t.out != nil {
		t.norm.Visit(v)
		t.out.Visit(v)
	}
}

func (t *transformer) forward(c *nn.Context, x *ts.Tensor, h *history) *ts.Tensor {
	x = c.Transpose(x, 1, 2) // [B,T,C]
	T := c.Shape(x)[1]
	if t.in != nil {
		x = t.in.Forward(c, x)
	}
	angles := t.cfg.angles(c, T, h, x)
	for _, b := range t.blocks {
		var y *ts.Tensor
		c.Nest(func(in *nn.Context) { y = in.Promote(b.forward(in, x, angles, h)) })
		x = y
	}
	if t.out != nil {
		x = t.out.Forward(c, t.norm.Forward(c, x))
	}
	return c.Transpose(x, 1, 2)
}
