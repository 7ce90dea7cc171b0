package parity

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func predictorSection(c *nn.Context, x *inputs) (err error) {
	if !x.has("talker_hidden", "codes") {
		return nil
	}
	nn.NoGrad(func() { err = x.predictor() })
	return err
}

func (x *inputs) predictor() error {
	c, m := x.c, x.m
	hidden, codes := x.tensor("talker_hidden"), x.tensor("codes")
	N, G := x.shape("codes")[0], int64(m.Config.Groups())
	seq := m.PredictorRows(c, hidden, codes)
	x.out.put("seq", seq)
	x.out.put("seq_projected", m.Predictor.Adapt(c, seq))
	h := m.PredictorHidden(c, seq)
	x.out.put("hidden", h)
	logits := m.CodeLogits(c, m.Predict(c, hidden, codes))
	x.out.put("logits", logits)
	flat := x.ints("codes")
	x.out.put("loss_aligned", c.Reshape(m.CodeLoss(c, logits, flat, 0), 1))
	x.out.put("loss_script", c.Reshape(m.CodeLoss(c, logits, flat, 1), 1))

	code0 := make([]int64, N)
	for n := range code0 {
		code0[n] = flat[int64(n)*G]
	}
	st := m.PredictorStepper()
	defer st.Close()
	var scores []*ts.Tensor
	greedy := func(_ int, logits *ts.Tensor) ([]int64, error) {
		scores = append(scores, c.To(logits, gotch.Float))
		return tensor.Ints(c.Argmax(logits, -1))
	}
	picked, _, err := m.DecodeFrame(c, st, hidden, code0, greedy)
	if err != nil {
		return err
	}
	rows := make([]int64, 0, N*(G-1))
	for n := range N {
		for j := range G - 1 {
			rows = append(rows, picked[j][n])
		}
	}
	x.out.putInts("greedy.codes", rows, N, G-1)
	x.out.put("greedy.scores", c.Stack(1, scores...))
	return nil
}

// bf16Section repeats three tensors with all arithmetic in bf16.
func bf16Section(c *nn.Context, x *inputs) error {
	const talk, pred = "talker.safetensors", "code_predictor.safetensors"
	m := x.m
	nn.NoGrad(func() {
		if x.hasIn(talk, "batch.inputs_embeds", "full.attention_mask") {
			embeds := x.float(talk, "batch.inputs_embeds")
			size := c.Shape(embeds)
			mask, err := x.f.values[[2]string{talk, "full.attention_mask"}].ints()
			c.Check("golden full.attention_mask", err)
			h := m.Hidden(c, embeds, m.ViewOf(c, mask, int(size[0]), int(size[1])), nil)
			x.out.put("talker.logits", m.CodecHead.Forward(c, h))
		}
		if x.hasIn(pred, "talker_hidden", "codes") {
			h := m.Predict(c, x.float(pred, "talker_hidden"), x.tensorIn(pred, "codes"))
			x.out.put("code_predictor.logits", m.CodeLogits(c, h))
		}
		if x.hasIn(talk, "text_proj.ids") {
			x.out.put("text_proj.out", m.Text(c, x.tensorIn(talk, "text_proj.ids")))
		}
	})
	return nil
}
