package talker

import (
	"context"
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Speech is a decoded utterance.
type Speech struct {
	ID    string
	Codes [][]int32 // [frames][G]
	Ended bool      // the model drew its end; otherwise MaxNewTokens cut it
}

// Generate decodes all prompts as one batch. Each has a random stream of its own, named by seed and ID, so that which
// other prompts are in the batch does not change what it draws.
func (m *Model) Generate(ctx context.Context, prompts []Prompt, s Sampling) ([]Speech, error) {
	talker, predictor := m.TalkerStepper(), m.PredictorStepper()
	defer talker.Close()
	defer predictor.Close()
	return m.GenerateWith(ctx, talker, predictor, prompts, s)
}

// GenerateWith is Generate with the caller's steppers.
func (m *Model) GenerateWith(ctx context.Context, talker, predictor Stepper, prompts []Prompt, s Sampling) (out []Speech, err error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("talker: sampling: %w", err)
	}
	seqs := make([]Sequence, len(prompts))
	for i, p := range prompts {
		seqs[i] = p.Sequence
	}
	b, err := Collate(seqs, PadLeft)
	if err != nil {
		return nil, err
	}
	nn.NoGrad(func() {
		err = nn.Run(func(c *nn.Context) error {
			tail := m.tails(c, prompts)
			out, err = m.decode(ctx, c, talker, predictor, start{ids: b.IDs, x: m.Embed(c, b), mask: b.Mask, tail: tail}, s)
			return err
		})
	})
	return out, err
}

// start is everything that decoding starts from.
type start struct {
	ids  []string
	x    *ts.Tensor // prompts [B,T,H], padded on the left
	mask []int64    // [B·T]
	tail tails
}

// tails are the text vectors that are added to decoded frames.
type tails struct {
	table *ts.Tensor // [n,H]
	rows  [][]int64  // [B][frame] of table
	pad   int64      // row of table for the frames after those
}

func (m *Model) tails(c *nn.Context, prompts []Prompt) tails {
	ids := []int64{int64(m.Config.PadText)}
	for _, p := range prompts {
		for _, id := range p.Trailing {
			ids = append(ids, int64(id))
		}
	}
	kinds, of := distinct(ids)
	t := tails{table: m.Text(c, m.ints(c, kinds, int64(len(kinds))))}
	at := 1
	for _, p := range prompts {
		t.rows = append(t.rows, of[at:at+len(p.Trailing)])
		at += len(p.Trailing)
	}
	return t
}

// voiceover is one utterance while it is decoded.
type voiceover struct {
	speech *Speech
	tokens []int32 // codes 0 drawn so far
	draws  *rng.Stream
	tail   []int64
}

func (m *Model) decode(ctx context.Context, c *nn.Context, talker, predictor Stepper, st start, s Sampling) ([]Speech, error) {
	out := make([]Speech, len(st.ids))
	live := make([]*voiceover, len(st.ids))
	for i, id := range st.ids {
		out[i].ID = id
		live[i] = &voiceover{speech: &out[i], draws: rng.New(s.Seed, "speech "+id), tail: st.tail.rows[i]}
	}
	hidden := c.Release(talker.Prefill(c, st.x, st.mask))
	defer func() { hidden.Drop() }()
	for len(live) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("talker: decoding: %w", err)
		}
		var err error
		c.Nest(func(in *nn.Context) {
			var next *ts.Tensor
			if live, next, err = m.frame(in, talker, predictor, live, hidden, st.tail, s); err == nil && next != nil {
				hidden.Drop()
				hidden = in.Release(next)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// frame draws one frame of every utterance and returns those that go on, with their next hidden states; nil if none does.
func (m *Model) frame(c *nn.Context, talker, predictor Stepper, live []*voiceover, hidden *ts.Tensor, t tails, s Sampling) ([]*voiceover, *ts.Tensor, error) {
	on, code0, err := m.first(c, live, hidden, s)
	if err != nil || len(on) == 0 {
		return nil, nil, err
	}
	if len(on) < len(live) {
		talker.Keep(c, on)
		hidden = c.IndexSelect(hidden, 0, m.ints(c, on, int64(len(on))))
		kept := make([]*voiceover, len(on))
		for i, k := range on {
			kept[i] = live[k]
		}
		live = kept
	}
	pick := func(_ int, logits *ts.Tensor) ([]int64, error) {
		return eachRow(c, logits, len(live), func(i int, scores []float32) (int, error) {
			return live[i].pick(scores, s.SubDoSample, s.SubTemperature, s.SubTopK, s.SubTopP)
		})
	}
	codes, x, err := m.DecodeFrame(c, predictor, hidden, code0, pick)
	if err != nil {
		return nil, nil, err
	}
	text := make([]int64, len(live))
	for i, v := range live {
		frame := []int32{int32(code0[i])}
		for _, of := range codes {
			frame = append(frame, int32(of[i]))
		}
		text[i] = t.pad
		if k := len(v.speech.Codes); k < len(v.tail) {
			text[i] = v.tail[k]
		}
		v.speech.Codes = append(v.speech.Codes, frame)
	}
	x = c.Add(x, c.IndexSelect(t.table, 0, m.ints(c, text, int64(len(text)))))
	return live, talker.Step(c, x), nil
}

// first draws code 0 of every utterance: the numbers of those that go on, and their codes.
func (m *Model) first(c *nn.Context, live []*voiceover, hidden *ts.Tensor, s Sampling) (on, code0 []int64, err error) {
	codes, err := eachRow(c, m.CodecHead.Forward(c, hidden), len(live), func(i int, scores []float32) (int, error) {
		v := live[i]
		Penalize(scores, v.tokens, s.RepetitionPenalty)
		m.Config.Suppress(scores, len(v.tokens))
		return v.pick(scores, s.DoSample, s.Temperature, s.TopK, s.TopP)
	})
	if err != nil {
		return nil, nil, err
	}
	for i, v := range live {
		v.tokens = append(v.tokens, int32(codes[i]))
		v.speech.Ended = int32(codes[i]) == m.Config.Talker.CodecEos
		if !v.speech.Ended && len(v.tokens) < s.MaxNewTokens {
			on, code0 = append(on, int64(i)), append(code0, codes[i])
		}
	}
	return on, code0, nil
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
