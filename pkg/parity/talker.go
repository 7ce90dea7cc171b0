package parity

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func talkerSection(c *nn.Context, x *inputs) error {
	nn.NoGrad(func() {
		if x.has("text_proj.ids") {
			ids := x.tensor("text_proj.ids")
			x.out.put("text_proj.embedding", x.m.TextEmbedding.Forward(c, ids))
			x.out.put("text_proj.out", x.m.Text(c, ids))
		}
		for _, tag := range []string{"full", "right", "left"} {
			if x.has("batch.inputs_embeds", "batch.labels", tag+".attention_mask") {
				x.masked(tag)
			}
		}
		if x.has("batch.inputs_embeds") {
			x.units()
		}
		if x.has("mrope3.position_ids", "mrope3.q", "mrope3.k") {
			x.streams()
		}
	})
	return nil
}

// masked runs the talker under one padding mask.
func (x *inputs) masked(tag string) {
	c, m := x.c, x.m
	mask := x.ints(tag + ".attention_mask")
	embeds := x.tensor("batch.inputs_embeds")
	size := c.Shape(embeds)
	B, T, H := size[0], size[1], size[2]
	b := &talker.Batch{B: int(B), T: int(T), Mask: mask, Label: x.ints("batch.labels")}
	deltas := make([]int64, B)
	for i, real := range mask {
		if real == 0 {
			b.Label[i] = talker.Ignore
			deltas[int64(i)/T]--
		}
	}
	x.out.putInts(tag+".position_ids", b.Positions(), B, T)
	x.out.putInts(tag+".rope_deltas", deltas, B, 1)
	x.out.putInts(tag+".labels", b.Label, B, T)

	watch := *c
	layer := 0
	watch.Output = func(_ string, y *ts.Tensor) {
		x.out.putOnly(fmt.Sprintf("%s.layer%d.out", tag, layer), y, wide(mask, H))
		layer++
	}
	h := m.Hidden(&watch, embeds, m.View(c, b), nil)
	x.out.putOnly(tag+".final_norm", h, wide(mask, H))
	x.out.putOnly(tag+".logits", m.CodecHead.Forward(c, h), wide(mask, m.Config.Talker.Vocab))
	rows := m.Pick(c, h, b.TargetRows())
	loss := m.CrossEntropy(c, m.CodecHead.Forward(c, rows), b.Targets())
	x.out.put(tag+".loss", c.Reshape(loss, 1))
}

// units runs the parts of layer 0 and the rotary tables.
func (x *inputs) units() {
	c := x.c
	t := &x.m.Config.Talker
	embeds := x.tensor("batch.inputs_embeds")
	size := c.Shape(embeds)
	B, T := size[0], size[1]
	block := x.m.Decoder.Blocks[0]
	h := block.InputNorm.Forward(c, embeds)
	x.out.put("unit.input_layernorm", h)
	q := c.Reshape(block.Attn.QKV[0].Forward(c, h), B, T, t.Heads, t.HeadDim)
	x.out.put("unit.q_normed", block.Attn.QNorm.Forward(c, q))
	x.out.put("unit.mlp", block.MLP.Forward(c, h))

	at := c.Reshape(c.Arange(gotch.Int64, T), 1, T)
	rot := nn.Rotary{D: t.HeadDim, Theta: t.Theta}.Angles(c, at, gotch.Float)
	x.out.put("unit.self_attn", block.Attn.Forward(c, h, rot, nn.CausalMask(c, T, 0, gotch.Float), nil))
	x.out.put("rope.cos", c.Expand(c.Reshape(rot.Cos, 1, 1, T, t.HeadDim), 3, 1, T, t.HeadDim))
	x.out.put("rope.sin", c.Expand(c.Reshape(rot.Sin, 1, 1, T, t.HeadDim), 3, 1, T, t.HeadDim))
}

// streams rotates with three different position streams.
func (x *inputs) streams() {
	c := x.c
	t := &x.m.Config.Talker
	positions := x.tensor("mrope3.position_ids") // [3,B,T]
	plain := nn.Rotary{D: t.HeadDim, Theta: t.Theta}
	var streams [3]*ts.Tensor
	var cos, sin []*ts.Tensor
	for i := range streams {
		streams[i] = c.Select(positions, 0, int64(i))
		a := plain.Angles(c, streams[i], gotch.Float)
		cos, sin = append(cos, c.Squeeze(a.Cos, 1)), append(sin, c.Squeeze(a.Sin, 1))
	}
	x.out.put("mrope3.cos", c.Stack(0, cos...))
	x.out.put("mrope3.sin", c.Stack(0, sin...))
	if t.Scaling == nil {
		return
	}
	for name, interleaved := range map[string]bool{"interleaved": true, "chunked": false} {
		mixed := nn.Rotary{D: t.HeadDim, Theta: t.Theta, Sections: t.Scaling.Sections, Interleaved: interleaved}
		a := mixed.AnglesOf(c, streams, gotch.Float)
		x.out.put("mrope3."+name+".q_out", a.Rotate(c, x.tensor("mrope3.q")))
		x.out.put("mrope3."+name+".k_out", a.Rotate(c, x.tensor("mrope3.k")))
	}
}
