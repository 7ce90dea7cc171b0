package talker

import (
	"context"
	"fmt"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Speech is a decoded utterance.
type Speech struct {
	ID     string
	Codes  [][]int32   // [frames][G]
	Ended  bool        // the model drew its end; otherwise MaxNewTokens or the model's last position cut it
	Hidden [][]float32 // [frames][H], the talker's final-normed states that the frames were drawn from; nil unless watched
}

// Watch is what a caller wants to see of decoding.
type Watch struct {
	// OnFrame, if set, is told each frame [G] when it is drawn, before the next one is computed: frames of one prompt in
	// order, prompts of one step by number. The frame is not to be changed. An error ends decoding.
	OnFrame func(prompt int, frame []int32) error
	Hidden  bool // fill Speech.Hidden
}

// Generate decodes all prompts as one batch. Each has a random stream of its own, named by seed and ID, so that which
// other prompts are in the batch does not change what it draws. Speech that reaches max_position_embeddings is cut there,
// as MaxNewTokens would cut it; a prompt that leaves no room for a frame is an error.
func (m *Model) Generate(ctx context.Context, prompts []Prompt, s Sampling) ([]Speech, error) {
	talker, predictor := m.TalkerStepper(), m.PredictorStepper()
	defer talker.Close()
	defer predictor.Close()
	return m.GenerateWith(ctx, talker, predictor, prompts, s)
}

// GenerateWith is Generate with the caller's steppers.
func (m *Model) GenerateWith(ctx context.Context, talker, predictor Stepper, prompts []Prompt, s Sampling) ([]Speech, error) {
	return m.GenerateWatched(ctx, talker, predictor, prompts, s, Watch{})
}

// GenerateWatched is GenerateWith that tells a watcher what it decodes, e.g. to play speech that is not finished.
func (m *Model) GenerateWatched(ctx context.Context, talker, predictor Stepper, prompts []Prompt, s Sampling, w Watch) (out []Speech, err error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("talker: sampling: %w", err)
	}
	seqs := make([]Sequence, len(prompts))
	for i, p := range prompts {
		seqs[i] = p.Sequence
		if err := m.Config.fits(len(p.Rows)+1, 0); err != nil {
			return nil, fmt.Errorf("talker: %q with a frame: %w", p.ID, err)
		}
	}
	b, err := Collate(seqs, PadLeft)
	if err != nil {
		return nil, err
	}
	nn.NoGrad(func() {
		err = nn.Run(func(c *nn.Context) error {
			tail := m.tails(c, prompts)
			st := start{ids: b.IDs, x: m.Embed(c, b), mask: b.Mask, tail: tail}
			out, err = m.decode(ctx, c, talker, predictor, st, s, w)
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

func (m *Model) decode(ctx context.Context, c *nn.Context, talker, predictor Stepper, st start, s Sampling, w Watch) ([]Speech, error) {
	out := make([]Speech, len(st.ids))
	live := make([]*voiceover, len(st.ids))
	T := len(st.mask) / len(st.ids)
	for i, id := range st.ids {
		out[i].ID = id
		most := s.MaxNewTokens
		if limit := m.Config.Talker.MaxPositions; limit > 0 { // n draws read the prompt and n-1 frames
			most = int(min(int64(most), limit-sum(st.mask[i*T:(i+1)*T])+1))
		}
		live[i] = &voiceover{number: i, speech: &out[i], most: most, draws: rng.New(s.Seed, "speech "+id), tail: st.tail.rows[i]}
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
			if live, next, err = m.frame(in, talker, predictor, live, hidden, st.tail, s, w); err == nil && next != nil {
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
func (m *Model) frame(c *nn.Context, talker, predictor Stepper, live []*voiceover, hidden *ts.Tensor, t tails, s Sampling, w Watch) ([]*voiceover, *ts.Tensor, error) {
	on, code0, err := m.first(c, talker, live, hidden, s)
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
	codes, x, err := m.rest(c, predictor, hidden, code0, live, s)
	if err != nil {
		return nil, nil, err
	}
	if w.Hidden {
		if err := keepHidden(live, hidden); err != nil {
			return nil, nil, err
		}
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
		if w.OnFrame != nil {
			if err := w.OnFrame(v.number, frame); err != nil {
				return nil, nil, err
			}
		}
	}
	x = c.Add(x, c.IndexSelect(t.table, 0, m.ints(c, text, int64(len(text)))))
	return live, talker.Step(c, x), nil
}

// keepHidden copies the states [N,H] that the next frame of each utterance is drawn from.
func keepHidden(live []*voiceover, hidden *ts.Tensor) error {
	flat, err := tensor.Floats(hidden)
	if err != nil {
		return err
	}
	H := len(flat) / len(live)
	for i, v := range live {
		v.speech.Hidden = append(v.speech.Hidden, flat[i*H:(i+1)*H:(i+1)*H])
	}
	return nil
}
