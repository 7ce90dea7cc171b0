package nn

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// DecoderConfig of a stack of blocks.
type DecoderConfig struct {
	Attention AttentionConfig
	Inner     int64 // MLP width
	Layers    int
	Rotary    Rotary
}

// Decoder is a stack of blocks with a final norm. Its input is a sequence of embeddings.
type Decoder struct {
	cfg    DecoderConfig
	Path   string
	Blocks []*Block
	Norm   *RMSNorm
	// Rotation of the residual stream: rows are turned before the first block, and back before the final norm, whose gain
	// and readers know nothing of it. The blocks' weights carry the rest. The zero value is none.
	Rotation Hadamard
}

// NewDecoder declares path.layers.N and path.norm.
func NewDecoder(path string, cfg DecoderConfig) *Decoder {
	d := &Decoder{cfg: cfg, Path: path, Norm: NewRMSNorm(path+".norm", cfg.Attention.Width, cfg.Attention.Eps)}
	for i := range cfg.Layers {
		d.Blocks = append(d.Blocks, NewBlock(fmt.Sprintf("%s.layers.%d", path, i), cfg.Attention, cfg.Inner))
	}
	return d
}

// Visit shows the decoder, the blocks, then the norm.
func (d *Decoder) Visit(v Visitor) {
	if v.Decoder != nil {
		v.Decoder(d)
	}
	for _, b := range d.Blocks {
		b.Visit(v)
	}
	d.Norm.Visit(v)
}

// Forward maps x [B,T,H] to final-normed hidden states [B,T,H]. positions are [B,T]; mask is added to the scores,
// [B or 1, 1, T, S], or nil; caches are nil, or one per layer.
func (d *Decoder) Forward(c *Context, x, positions, mask *ts.Tensor, caches []*KVCache) *ts.Tensor {
	rot := d.cfg.Rotary.Angles(c, positions, x.DType())
	x = d.Enter(c, x)
	for i, b := range d.Blocks {
		var cache *KVCache
		if caches != nil {
			cache = caches[i]
		}
		x = layer(c, b, x, rot, mask, cache)
	}
	return d.Leave(c, x)
}

// Enter is what Forward makes of x [B,T,H] before the first block: it turns the rows into the basis of the residual stream.
func (d *Decoder) Enter(c *Context, x *ts.Tensor) *ts.Tensor {
	if d.Rotation.Block == 0 {
		return x
	}
	return d.Rotation.Apply(c, x)
}

// Leave is what Forward makes of x [B,T,H] behind the last block: the rows turned back, and final-normed.
func (d *Decoder) Leave(c *Context, x *ts.Tensor) *ts.Tensor {
	return d.Norm.Forward(c, d.Enter(c, x)) // the rotation is its own inverse
}

// Layer is block i of Forward alone: it maps x [B,T,H] to what the next block, or the final norm, reads.
func (d *Decoder) Layer(c *Context, i int, x, positions, mask *ts.Tensor) *ts.Tensor {
	return layer(c, d.Blocks[i], x, d.cfg.Rotary.Angles(c, positions, x.DType()), mask, nil)
}

// layer is b.Forward with temporaries that end with the block: outside a graph one block's activations exist at a time,
// inside of one only those that the backward pass reads, and with c.Recompute none.
func layer(c *Context, b *Block, x *ts.Tensor, rot Angles, mask *ts.Tensor, cache *KVCache) (y *ts.Tensor) {
	if c.Recompute && cache == nil && tensor.GradEnabled() {
		ins := []*ts.Tensor{x, rot.Cos, rot.Sin}
		if mask != nil {
			ins = append(ins, mask)
		}
		return c.Checkpoint(func(in *Context, ins []*ts.Tensor) []*ts.Tensor {
			var mask *ts.Tensor
			if len(ins) > 3 {
				mask = ins[3]
			}
			return []*ts.Tensor{b.Forward(in, ins[0], Angles{Cos: ins[1], Sin: ins[2]}, mask, nil)}
		}, 1, ins...)[0]
	}
	c.Nest(func(in *Context) { y = in.Promote(b.Forward(in, x, rot, mask, cache)) })
	return y
}

// CausalMask is [1, 1, T, past+T]: 0 where row i may see row j ≤ past+i, a very negative number elsewhere.
func CausalMask(c *Context, T, past int64, dtype gotch.DType) *ts.Tensor {
	seen := c.Tril(c.Ones(gotch.Float, T, past+T), past)
	return c.To(c.Reshape(c.MulScalar(c.SubScalar(seen, 1), Masked), 1, 1, T, past+T), dtype)
}

// Masked is the score that hides a row: far below any real one, and finite so that a fully hidden row stays a number.
const Masked = 1e30
