package nn

import "github.com/sugarme/gotch/ts"

// Block is one decoder layer: x + attention(norm x), then x + mlp(norm x).
type Block struct {
	Path                string
	InputNorm, PostNorm *RMSNorm
	Attn                *Attention
	MLP                 *MLP
}

// NewBlock declares the parameters under path (…layers.N).
func NewBlock(path string, cfg AttentionConfig, inner int64) *Block {
	return &Block{
		Path:      path,
		InputNorm: NewRMSNorm(path+".input_layernorm", cfg.Width, cfg.Eps),
		Attn:      NewAttention(path+".self_attn", cfg),
		PostNorm:  NewRMSNorm(path+".post_attention_layernorm", cfg.Width, cfg.Eps),
		MLP:       NewMLP(path+".mlp", cfg.Width, inner),
	}
}

// Visit shows the parts in the order of computation.
func (b *Block) Visit(v Visitor) {
	b.InputNorm.Visit(v)
	b.Attn.Visit(v)
	b.PostNorm.Visit(v)
	b.MLP.Visit(v)
}

// Forward maps x [B,T,H] to [B,T,H]; see Attention.Forward for the other arguments.
func (b *Block) Forward(c *Context, x *ts.Tensor, rot Angles, mask *ts.Tensor, cache *KVCache) *ts.Tensor {
	x = c.Add(x, b.Attn.Forward(c, b.InputNorm.Forward(c, x), rot, mask, cache))
	x = c.Add(x, b.MLP.Forward(c, b.PostNorm.Forward(c, x)))
	c.sawOutput(b.Path, x)
	return x
}
