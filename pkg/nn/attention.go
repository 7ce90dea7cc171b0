package nn

import (
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// AttentionConfig of one decoder.
type AttentionConfig struct {
	Width   int64 // H
	Heads   int64
	KVHeads int64 // divides Heads
	HeadDim int64 // D; Heads·D need not be H
	Eps     float64
}

// Attention is causal grouped-query attention with RMSNorm on each query and key head before the rotation (Qwen3).
type Attention struct {
	cfg          AttentionConfig
	QKV          Group // q_proj, k_proj, v_proj read one input
	O            *Slot
	QNorm, KNorm *RMSNorm
}

// NewAttention declares the parameters under path (…self_attn).
func NewAttention(path string, cfg AttentionConfig) *Attention {
	q, kv := cfg.Heads*cfg.HeadDim, cfg.KVHeads*cfg.HeadDim
	return &Attention{
		cfg: cfg,
		QKV: Group{
			NewSlot(path+".q_proj", cfg.Width, q, false),
			NewSlot(path+".k_proj", cfg.Width, kv, false),
			NewSlot(path+".v_proj", cfg.Width, kv, false),
		},
		O:     NewSlot(path+".o_proj", q, cfg.Width, false),
		QNorm: NewRMSNorm(path+".q_norm", cfg.HeadDim, cfg.Eps),
		KNorm: NewRMSNorm(path+".k_norm", cfg.HeadDim, cfg.Eps),
	}
}

// Visit shows projections and norms.
func (a *Attention) Visit(v Visitor) {
	a.QKV.Visit(v)
	a.O.Visit(v)
	a.QNorm.Visit(v)
	a.KNorm.Visit(v)
}

// Forward attends from x [B,T,H] to the cached rows and to itself. mask is added to the scores, [B or 1, 1, T, S]; nil
// hides nothing. cache is nil outside decoding.
func (a *Attention) Forward(c *Context, x *ts.Tensor, rot Angles, mask *ts.Tensor, cache *KVCache) *ts.Tensor {
	qkv := a.QKV.Forward(c, x)
	if cache == nil && a.fuses(c, qkv, rot, mask) {
		return a.O.Forward(c, c.Attention(tensor.Heads{
			Q: qkv[0], K: qkv[1], V: qkv[2], QGain: a.QNorm.W.T, KGain: a.KNorm.W.T, Cos: rot.Cos, Sin: rot.Sin, Mask: mask,
			Queries: a.cfg.Heads, KVHeads: a.cfg.KVHeads, Eps: a.cfg.Eps,
		}))
	}
	return a.O.Forward(c, a.composite(c, qkv, rot, mask, cache))
}

// fuses tells whether one function does what composite does.
func (a *Attention) fuses(c *Context, qkv []*ts.Tensor, rot Angles, mask *ts.Tensor) bool {
	args := append([]*ts.Tensor{rot.Cos, rot.Sin, a.QNorm.W.T, a.KNorm.W.T}, qkv...)
	if mask != nil {
		args = append(args, mask)
	}
	return c.FusesFloat(args...)
}

// composite is attention between the projections [B,T,heads·D], in tensor operations: what decoding, other dtypes and
// other devices compute, and what tests compare with.
func (a *Attention) composite(c *Context, qkv []*ts.Tensor, rot Angles, mask *ts.Tensor, cache *KVCache) *ts.Tensor {
	cfg := a.cfg
	size := c.Shape(qkv[0])
	B, T := size[0], size[1]
	heads := func(y *ts.Tensor, n int64) *ts.Tensor { return c.Reshape(y, B, T, n, cfg.HeadDim) }
	q := c.Transpose(a.QNorm.Forward(c, heads(qkv[0], cfg.Heads)), 1, 2) // [B,heads,T,D]
	k := c.Transpose(a.KNorm.Forward(c, heads(qkv[1], cfg.KVHeads)), 1, 2)
	v := c.Transpose(heads(qkv[2], cfg.KVHeads), 1, 2)
	q, k = rot.Rotate(c, q), rot.Rotate(c, k)
	if cache != nil {
		k, v = cache.Append(c, k, v)
	}
	S := c.Shape(k)[2]

	// Head i reads key head i/(heads/kv): the heads of one key head are neighbors, so they fold into rows.
	rows := cfg.Heads / cfg.KVHeads * T
	qg := c.Reshape(q, B, cfg.KVHeads, rows, cfg.HeadDim)
	scores := c.MulScalar(c.Matmul(qg, c.Transpose(k, 2, 3)), 1/math.Sqrt(float64(cfg.HeadDim)))
	scores = c.Reshape(scores, B, cfg.Heads, T, S)
	if mask != nil {
		scores = c.Add(scores, mask)
	}
	p := c.as(c.Softmax(c.as(scores, gotch.Float), -1), v.DType())
	o := c.Matmul(c.Reshape(p, B, cfg.KVHeads, rows, S), v) // [B,kv,rows,D]
	o = c.Transpose(c.Reshape(o, B, cfg.Heads, T, cfg.HeadDim), 1, 2)
	return c.Reshape(o, B, T, cfg.Heads*cfg.HeadDim)
}
