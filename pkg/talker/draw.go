package talker

import (
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// voiceover is one utterance while it is decoded.
type voiceover struct {
	number int // of the prompt
	speech *Speech
	tokens []int32 // codes 0 drawn so far
	most   int     // and at most
	draws  *rng.Stream
	tail   []int64
}

// first draws code 0 of every utterance: the numbers of those that go on, and their codes.
func (m *Model) first(c *nn.Context, talker Stepper, live []*voiceover, hidden *ts.Tensor, s Sampling) (on, code0 []int64, err error) {
	var logits *ts.Tensor
	if t, ok := talker.(*nativeStepper); ok {
		logits = t.logits(c, hidden)
	} else {
		logits = m.CodecHead.Forward(c, hidden)
	}
	codes, err := eachRow(c, logits, len(live), func(i int, scores []float32) (int, error) {
		v := live[i]
		Penalize(scores, v.tokens, s.RepetitionPenalty)
		m.Config.Suppress(scores, len(v.tokens) >= s.MinNewTokens)
		return v.pick(scores, s.DoSample, s.Temperature, s.TopK, s.TopP)
	})
	if err != nil {
		return nil, nil, err
	}
	for i, v := range live {
		v.tokens = append(v.tokens, int32(codes[i]))
		v.speech.Ended = int32(codes[i]) == m.Config.Talker.CodecEos
		if !v.speech.Ended && len(v.tokens) < v.most {
			on, code0 = append(on, int64(i)), append(code0, codes[i])
		}
	}
	return on, code0, nil
}

// rest draws codes 1 … G-1 of every utterance's frame, and sums the embeddings of all its codes; see DecodeFrame.
func (m *Model) rest(c *nn.Context, predictor Stepper, hidden *ts.Tensor, code0 []int64, live []*voiceover, s Sampling) ([][]int64, *ts.Tensor, error) {
	if p, ok := predictor.(*nativePredictor); ok {
		return p.frame(c, hidden, code0, live, s)
	}
	return m.DecodeFrame(c, predictor, hidden, code0, func(_ int, logits *ts.Tensor) ([]int64, error) {
		return eachRow(c, logits, len(live), func(i int, scores []float32) (int, error) {
			return live[i].pick(scores, s.SubDoSample, s.SubTemperature, s.SubTopK, s.SubTopP)
		})
	})
}

// pick draws from processed scores, which it changes.
func (v *voiceover) pick(scores []float32, sample bool, temperature float64, topK int, topP float64) (int, error) {
	for i, x := range scores {
		if x != x || math.IsInf(float64(x), 1) {
			return 0, fmt.Errorf("talker: %q frame %d: logit %d is %v, want a finite number", v.speech.ID, len(v.speech.Codes), i, x)
		}
	}
	if !sample {
		return best(scores), nil
	}
	Warp(scores, temperature, topK, topP)
	return choose(scores, v.draws.Float64()), nil
}

// eachRow calls f with each of the n rows of logits [n,V], as float32 values.
func eachRow(c *nn.Context, logits *ts.Tensor, n int, f func(i int, scores []float32) (int, error)) ([]int64, error) {
	flat, err := tensor.Floats(c.To(logits, gotch.Float))
	if err != nil {
		return nil, err
	}
	out, V := make([]int64, n), len(flat)/n
	for i := range out {
		k, err := f(i, flat[i*V:(i+1)*V])
		if err != nil {
			return nil, err
		}
		out[i] = int64(k)
	}
	return out, nil
}
