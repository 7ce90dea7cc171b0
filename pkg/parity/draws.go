package parity

import (
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// least is what the goldens write for a score that was suppressed.
const least = -1e30

// draws runs the reference's own loop, in which an utterance that has ended is decoded on with the end as its code 0 until
// all have ended, and shows the scores of every step. Our decoding lets such utterances go; see speak.
func (x *inputs) draws(name string, b *talker.Batch, text, pad *ts.Tensor, most int) error {
	c, m := x.c, x.m
	t := &m.Config.Talker
	decoder, predictor := m.TalkerStepper(), m.PredictorStepper()
	defer decoder.Close()
	defer predictor.Close()
	h := decoder.Prefill(c, m.Embed(c, b), b.Mask)
	tokens, ended := make([][]int32, b.B), make([]bool, b.B)
	var raw, sub []*ts.Tensor // [B,Vc] of each step; [B,G-1,V] of each frame
	var scores [][]float32    // [step][B·(V+1)]: the codes and the end
	for {
		logits := m.CodecHead.Forward(c, h)
		raw = append(raw, logits)
		flat, err := tensor.Floats(c.To(logits, gotch.Float))
		if err != nil {
			return err
		}
		var step []float32
		code0 := make([]int64, b.B)
		for i := range b.B {
			row := flat[int64(i)*t.Vocab : int64(i+1)*t.Vocab]
			talker.Penalize(row, tokens[i], talker.DefaultSampling().RepetitionPenalty)
			m.Config.Suppress(row, len(tokens[i]) >= talker.DefaultSampling().MinNewTokens)
			if code0[i] = highest(row); ended[i] {
				code0[i] = int64(t.CodecEos)
			}
			tokens[i] = append(tokens[i], int32(code0[i]))
			ended[i] = ended[i] || code0[i] == int64(t.CodecEos)
			step = append(step, row[:m.Config.Codebook()]...)
			step = append(step, row[t.CodecEos])
		}
		scores = append(scores, step)
		if len(scores) == most || !slices.Contains(ended, false) {
			break
		}
		var heads []*ts.Tensor
		_, frame, err := m.DecodeFrame(c, predictor, h, code0, func(_ int, logits *ts.Tensor) ([]int64, error) {
			heads = append(heads, logits)
			return tensor.Ints(c.Must(logits.Argmax([]int64{-1}, false, false)))
		})
		if err != nil {
			return err
		}
		add := c.Squeeze(pad, 1)
		if k := int64(len(sub)); k < c.Shape(text)[1] {
			add = c.Select(text, 1, k)
		}
		sub = append(sub, c.Stack(1, heads...))
		h = decoder.Step(c, c.Add(frame, add))
	}
	all := c.FromFloats(shown(slices.Concat(scores...)), int64(len(scores)), int64(b.B), m.Config.Codebook()+1)
	x.out.put(name+".scores", c.Transpose(all, 0, 1))
	x.out.put(name+".raw_logits", c.Stack(1, raw...))
	x.out.put(name+".sub_scores", c.Stack(1, sub...))
	return nil
}

// shown are scores as the goldens have them.
func shown(scores []float32) []float32 {
	for i, v := range scores {
		scores[i] = max(v, least)
	}
	return scores
}

func highest(scores []float32) int64 {
	at := 0
	for i, v := range scores {
		if v > scores[at] {
			at = i
		}
	}
	return int64(at)
}
