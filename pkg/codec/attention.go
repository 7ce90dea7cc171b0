package codec

import (
	"math"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// attention is causal grouped-query attention with rotary positions. A row sees at most window rows, itself included; 0
// means all that came before.
type attention struct {
	cfg    *Transformer
	window int64
	qkv    nn.Group
	o      *nn.Slot
}

func newAttention(path string, cfg *Transformer, window int64) *attention {
	q, kv := cfg.Heads*cfg.HeadDim, cfg.KVHeads*cfg.HeadDim
	slot := func(name string, in, out int64) *nn.Slot { return nn.NewSlot(path+name, in, out, cfg.AttentionBias) }
	return &attention{
		cfg: cfg, window: window,
		qkv: nn.Group{slot(".q_proj", cfg.Hidden, q), slot(".k_proj", cfg.Hidden, kv), slot(".v_proj", cfg.Hidden, kv)},
		o:   slot(".o_proj", q, cfg.Hidden),
	}
}

// Visit shows the projections.
func (a *attention) Visit(v nn.Visitor) {
	a.qkv.Visit(v)
	a.o.Visit(v)
}

// queriesAtOnce bounds the scores that exist at a time: rows are attended from in blocks.
const queriesAtOnce = 128

// forward maps x [B,T,H] to [B,T,H]; angles are those of its rows.
func (a *attention) forward(c *nn.Context, x *ts.Tensor, angles nn.Angles, h *history) *ts.Tensor {
	size := c.Shape(x)
	B, T := size[0], size[1]
	heads := func(y *ts.Tensor, n int64) *ts.Tensor { return c.Transpose(c.Reshape(y, B, T, n, a.cfg.HeadDim), 1, 2) }
	qkv := a.qkv.Forward(c, x)
	q, k := angles.Rotate(c, heads(qkv[0], a.cfg.Heads)), angles.Rotate(c, heads(qkv[1], a.cfg.KVHeads)) // [B,heads,T,D]
	v := heads(qkv[2], a.cfg.KVHeads)
	k = h.join(c, pastKey{a, "k"}, k, 2, a.window-1)
	v = h.join(c, pastKey{a, "v"}, v, 2, a.window-1)
	past := c.Shape(k)[2] - T

	var outs []*ts.Tensor
	for start := int64(0); start < T; start += queriesAtOnce {
		n := min(queriesAtOnce, T-start)
		from, to := int64(0), past+start+n // the keys that any of these rows sees
		if a.window > 0 {
			from = max(0, past+start-a.window+1)
		}
		c.Nest(func(in *nn.Context) {
			y := a.attend(in, in.Narrow(q, 2, start, n), in.Narrow(k, 2, from, to-from), in.Narrow(v, 2, from, to-from))
			outs = append(outs, in.Promote(y))
		})
	}
	o := outs[0]
	if len(outs) > 1 {
		o = c.Cat(2, outs...)
	}
	return a.o.Forward(c, c.Reshape(c.Transpose(o, 1, 2), B, T, a.cfg.Heads*a.cfg.HeadDim))
}

// attend from q [B,heads,n,D] to k and v [B,kv,S,D]; the last row of q is the last of k.
func (a *attention) attend(c *nn.Context, q, k, v *ts.Tensor) *ts.Tensor {
	B, n, S := c.Shape(q)[0], c.Shape(q)[2], c.Shape(k)[2]
	kv, D := a.cfg.KVHeads, a.cfg.HeadDim
	rows := a.cfg.Heads / kv * n // the heads of one key head are neighbors, so they fold into rows
	scores := c.Matmul(c.Reshape(q, B, kv, rows, D), c.Transpose(k, 2, 3))
	scores = c.Reshape(c.MulScalar(scores, 1/math.Sqrt(float64(D))), B, a.cfg.Heads, n, S)
	if hide := a.hidden(c, n, S); hide != nil {
		scores = c.MaskedFill(scores, c.ToDevice(hide, c.Device(q)), math.Inf(-1))
	}
	p := c.To(c.Softmax(c.To(scores, gotch.Float), -1), q.DType())
	return c.Reshape(c.Matmul(c.Reshape(p, B, kv, rows, S), v), B, a.cfg.Heads, n, D)
}

// hidden is true where row i of the last n of S rows does not see row j; nil where all is seen.
func (a *attention) hidden(c *nn.Context, n, S int64) *ts.Tensor {
	if n == 1 && (a.window == 0 || S <= a.window) {
		return nil
	}
	mask := make([]bool, n*S)
	for i := range n {
		at := S - n + i
		for j := range S {
			mask[i*S+j] = j > at || a.window > 0 && j <= at-a.window
		}
	}
	return c.FromBools(mask, n, S)
}

// angles of T rows that stand after the history's.
func (t *Transformer) angles(c *nn.Context, T int64, h *history, like *ts.Tensor) nn.Angles {
	at := c.AddScalar(c.Reshape(c.Arange(gotch.Float, T), 1, T), float64(h.rows()))
	return nn.Rotary{D: t.HeadDim, Theta: t.Theta}.Angles(c, c.ToDevice(at, c.Device(like)), like.DType())
}

// scaled is y times a scale per channel, added to x.
func scaled(c *nn.Context, x *ts.Tensor, scale *nn.Param, y *ts.Tensor) *ts.Tensor {
	return c.Add(x, c.Mul(scale.T, y))
}
