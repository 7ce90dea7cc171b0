package talker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Teacher-forcing what the reference drew greedily draws it again, in every layout: the completed prompt has the rows that
// decoding feeds. All utterances of a mode are one batch, on whichever side it is padded.
func TestCompleteEqualsDecoding(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-bf16", "tiny-sharded"} {
		m := loadFixture(t, fixture)
		g := openGoldens(t, fixture, "generate.safetensors")
		for name, mode := range generationModes(t, fixture) {
			for side, s := range map[string]Side{"right": PadRight, "left": PadLeft} {
				t.Run(fixture+"/"+name+"/"+side, func(t *testing.T) { teacherForced(t, m, g, name, mode, s) })
			}
		}
	}
}

func teacherForced(t *testing.T, m *Model, g *goldens, name string, mode mode, side Side) {
	run(t, func(c *nn.Context) error {
		var seqs []Sequence
		var frames [][]int32
		var hidden []float32
		for b, p := range goldenPrompts(t, m, c, g, name, mode) {
			codes := g.frames(c, fmt.Sprintf("%s.%d.codes", name, b), m.Config.Groups())
			lay := p.Continue
			if mode.Ended[b] {
				lay = p.Complete
			}
			s, err := lay(m.Config, codes)
			if err != nil {
				return err
			}
			seqs, frames = append(seqs, s), append(frames, codes...)
			h, err := tensor.Floats(g.tensor(c, fmt.Sprintf("%s.%d.hidden", name, b)))
			if err != nil {
				return err
			}
			hidden = append(hidden, h...)
		}
		batch, err := Collate(seqs, side)
		if err != nil {
			return err
		}
		all := m.Forward(c, batch)
		N := int64(len(frames))
		want := c.FromFloats(hidden, N, m.Config.Talker.Hidden)
		condition := m.Pick(c, all, batch.ConditionRows())
		wantClose(t, "hidden", condition, want, 2e-4)
		if got := batch.FrameCodes(); !slices.Equal(got, flat(frames)) {
			t.Errorf("frames of the batch %v, want %v", got, flat(frames))
		}
		wantFirst(t, m, c, all, batch)
		codes := m.ints(c, batch.FrameCodes(), N, int64(m.Config.Groups()))
		logits := m.CodeLogits(c, m.Predict(c, condition, codes))
		higher, err := tensor.Ints(c.Must(logits.Argmax([]int64{-1}, false, false)))
		if err != nil {
			return err
		}
		G := m.Config.Groups()
		for n, f := range frames {
			for j, code := range f[1:] {
				if got := higher[n*(G-1)+j]; got != int64(code) {
					t.Fatalf("frame %d: code %d of the code predictor is %d, want %d", n, j+1, got, code)
				}
			}
		}
		return nil
	})
}

// wantFirst draws every label greedily, with the repetition penalty over the labels before it in its utterance.
func wantFirst(t *testing.T, m *Model, c *nn.Context, hidden *ts.Tensor, b *Batch) {
	t.Helper()
	rows, labels := b.TargetRows(), b.Targets()
	scores, err := tensor.Floats(m.CodecHead.Forward(c, m.Pick(c, hidden, rows)))
	if err != nil {
		t.Fatal(err)
	}
	V := len(scores) / len(labels)
	drawn := make([][]int32, b.B)
	for i, label := range labels {
		before := &drawn[rows[i]/int64(b.T)]
		row := scores[i*V : (i+1)*V]
		Penalize(row, *before, 1.05)
		m.Config.Suppress(row, len(*before) >= 2)
		if got := int64(best(row)); got != label {
			t.Fatalf("label %d: the best is %d, want %d", i, got, label)
		}
		*before = append(*before, int32(label))
	}
}

// The frames of a reference are rows of the talker, but no targets: the code predictor does not learn them.
func TestReferenceFramesAreNoTargets(t *testing.T) {
	m := loadFixture(t, "tiny-f32")
	G := m.Config.Groups()
	frame := func(code int32) []int32 { return slices.Repeat([]int32{code}, G) }
	r := Request{ID: "r", Text: []int32{40, 41}, Voice: &Voice{Vector: make([]float32, m.Config.Talker.Hidden)},
		Reference: &Reference{Text: []int32{50}, Codes: [][]int32{frame(7), frame(8), frame(9)}}}
	for name, want := range map[string]struct {
		streaming bool
		given     []int64
		text      []int64 // of the given rows, then of the frames and the end
	}{
		// role 3, tag 3, voice, bos; then 50 40 41 eos, codec_bos, frames
		"whole text": {false, []int64{13, 14, 15}, []int64{448, 448, 448, 448, 448, 448}},
		// role 3, tag 3, voice, bos; then codec_bos with 50, frames with 40 41 eos
		"streaming": {true, []int64{9, 10, 11}, []int64{40, 41, 450, 448, 448, 448}},
	} {
		r.Streaming = want.streaming
		p, err := DecodingRows(m.Config, r)
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Complete(m.Config, [][]int32{frame(1), frame(2)})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Collate([]Sequence{s}, PadRight)
		if err != nil {
			t.Fatal(err)
		}
		at := want.given[0]
		for what, tt := range map[string]struct{ got, want []int64 }{
			"given":          {b.Given, want.given},
			"given codes":    {flat(b.GivenCodes), flat([][]int32{frame(7), frame(8), frame(9)})},
			"text":           {b.Text[at:], want.text},
			"frames":         {b.Frame, []int64{at + 3, at + 4}},
			"frame codes":    {b.FrameCodes(), flat([][]int32{frame(1), frame(2)})},
			"condition rows": {b.ConditionRows(), []int64{at + 2, at + 3}},
			"target rows":    {b.TargetRows(), []int64{at + 2, at + 3, at + 4}},
			"targets":        {b.Targets(), []int64{1, 2, int64(m.Config.Talker.CodecEos)}},
		} {
			if !slices.Equal(tt.got, tt.want) {
				t.Errorf("%s, %s: %v, want %v", name, what, tt.got, tt.want)
			}
		}
		if err := nn.Run(func(c *nn.Context) error { _, err := m.Loss(c, b, Aligned); return err }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompleteErrors(t *testing.T) {
	cfg := *shardedConfig(t)
	voice, err := cfg.PresetVoice("ryan")
	if err != nil {
		t.Fatal(err)
	}
	p, err := DecodingRows(&cfg, Request{ID: "u7", Text: []int32{40}, Voice: &voice})
	if err != nil {
		t.Fatal(err)
	}
	for want, codes := range map[string][][]int32{
		`"u7" has no frames, want at least one`:               nil,
		`"u7": frame 1 has 3 codes, want 4`:                   {{1, 2, 3, 4}, {1, 2, 3}},
		`"u7": frame 0 has code 64 in group 2, want 0 … 63`:   {{1, 2, 64, 4}},
		`"u7": frame 0 has code -1 in group 0, want 0 … 63`:   {{-1, 2, 3, 4}},
		`"u7" with 9 frames: 20 rows, want at most max_posit`: slices.Repeat([][]int32{{1, 2, 3, 4}}, 9),
	} {
		cfg.Talker.MaxPositions = 19 // 11 rows of prompt and 8 frames
		if _, err := p.Complete(&cfg, codes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if s, err := p.Complete(&cfg, slices.Repeat([][]int32{{1, 2, 3, 4}}, 8)); err != nil || len(s.Rows) != 20 {
		t.Errorf("8 frames: %d rows, %v; want 20: the end row is read by nothing", len(s.Rows), err)
	}
}
