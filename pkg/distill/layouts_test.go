package distill_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

// The published kinds of checkpoints in small, with weights for every layout that they have. No fixture is a voice design
// checkpoint by name; its prompts are those of a custom voice one without the voice.
func kinds(t *testing.T) map[string]struct {
	model   *talker.Model
	layouts distill.Layouts
} {
	load := func(fixture, kind string) *talker.Model {
		m, err := talker.Load("../talker/testdata/"+fixture+"/checkpoint", talker.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		m.Config.Type = kind
		return m
	}
	both := func(l distill.Layouts) distill.Layouts {
		l.Text, l.Language = distill.TextWeights{Streaming: 1, Whole: 1}, distill.LanguageWeights{Auto: 1, Explicit: 1}
		return l
	}
	return map[string]struct {
		model   *talker.Model
		layouts distill.Layouts
	}{
		talker.Base:        {load("tiny-f32", talker.Base), everyClone()},
		talker.CustomVoice: {load("tiny-sharded", talker.CustomVoice), both(distill.Layouts{Preset: 1})},
		talker.VoiceDesign: {load("tiny-sharded", talker.VoiceDesign), both(distill.Layouts{Design: 1})},
	}
}

// spoken are utterances with every part that a layout of cfg can take: dialect speakers, instructions, references longer
// and shorter than the text.
func spoken(cfg *talker.Config, n int) data.List {
	r := rand.New(rand.NewPCG(3, 4))
	ids := func(n int) (v []int32) {
		for range n {
			v = append(v, int32(r.Int64N(250)))
		}
		return v
	}
	frames := func(n int) (v [][]int32) {
		for range n {
			var f []int32
			for range cfg.Groups() {
				f = append(f, int32(r.Int64N(cfg.Codebook())))
			}
			v = append(v, f)
		}
		return v
	}
	var l data.List
	for i := range n {
		u := data.Utterance{
			ID: fmt.Sprint("s", i), Text: ids(1 + r.IntN(9)), Codes: frames(1 + r.IntN(7)), Instruct: ids(4),
			Speaker: []string{"ryan", "dylan", "Serena"}[i%3], Language: []string{"Chinese", "english"}[i/3%2],
			RefText: ids(1 + r.IntN(5)), RefCodes: frames(1 + r.IntN(9)),
		}
		for range cfg.Talker.Hidden {
			u.Vector = append(u.Vector, float32(r.NormFloat64()))
		}
		l = append(l, u)
	}
	return l
}

// said is what a model predicts for one utterance: logits of code 0 (the end's too), and of the other codes.
type said struct{ code0, codes [][]float32 }

// Teacher-forced batches are what decoding feeds: in every layout of every kind of checkpoint, the logits of a padded batch
// equal those that the steppers give one row after the other, fed the same codes.
func TestLayoutsAreWhatDecodingFeeds(t *testing.T) {
	for kind, k := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			us := dressed(t, mixed(t, k.model, spoken(k.model.Config, 24), k.layouts))
			seen := map[distill.Layout]bool{}
			for _, u := range us {
				seen[distill.LayoutOf(k.model.Config, u)] = true
			}
			want := 4
			if kind == talker.Base {
				want = 8
			}
			if len(seen) != want {
				t.Errorf("layouts %v, want %d different ones", seen, want)
			}
			forced := batch(t, k.model, us)
			for i, u := range us {
				stepped := decode(t, k.model, u)
				l := distill.LayoutOf(k.model.Config, u)
				near(t, fmt.Sprintf("%s (%v) code 0", u.ID, l), forced[i].code0, stepped.code0)
				near(t, fmt.Sprintf("%s (%v) other codes", u.ID, l), forced[i].codes, stepped.codes)
			}
		})
	}
}

// batch reads all of us teacher-forced, in one padded batch.
func batch(t *testing.T, m *talker.Model, us []data.Utterance) []said {
	t.Helper()
	out := make([]said, len(us))
	err := nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			var b *talker.Batch
			if b, err = distill.Collate(m.Config, us); err != nil {
				return
			}
			h := m.Forward(c, b)
			rows := b.TargetRows()
			for i, v := range split(t, m.CodecHead.Forward(c, m.Pick(c, h, rows)), len(rows)) {
				u := &out[rows[i]/int64(b.T)]
				u.code0 = append(u.code0, v)
			}
			N, G := int64(len(b.Frame)), int64(m.Config.Groups())
			states := m.Predict(c, m.Pick(c, h, b.ConditionRows()), c.FromInts(b.FrameCodes(), N, G))
			for i, v := range split(t, m.CodeLogits(c, states), int(N*(G-1))) {
				u := &out[b.Frame[int64(i)/(G-1)]/int64(b.T)]
				u.codes = append(u.codes, v)
			}
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// decode feeds the steppers the prompt of u and then its codes, one row at a time, as decoding does.
func decode(t *testing.T, m *talker.Model, u data.Utterance) (out said) {
	t.Helper()
	stepper, predictor := m.TalkerStepper(), m.PredictorStepper()
	defer stepper.Close()
	defer predictor.Close()
	err := nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			var r talker.Request
			if r, err = distill.Request(m.Config, u); err != nil {
				return
			}
			var p talker.Prompt
			if p, err = talker.DecodingRows(m.Config, r); err != nil {
				return
			}
			var b *talker.Batch
			if b, err = talker.Collate([]talker.Sequence{p.Sequence}, talker.PadLeft); err != nil {
				return
			}
			hidden := stepper.Prefill(c, m.Embed(c, b), b.Mask)
			for k, frame := range u.Codes {
				out.code0 = append(out.code0, split(t, m.CodecHead.Forward(c, hidden), 1)...)
				pick := func(j int, logits *ts.Tensor) ([]int64, error) {
					out.codes = append(out.codes, split(t, logits, 1)...)
					return []int64{int64(frame[j+1])}, nil
				}
				var x *ts.Tensor
				if _, x, err = m.DecodeFrame(c, predictor, hidden, []int64{int64(frame[0])}, pick); err != nil {
					return
				}
				text := m.Config.PadText
				if k < len(p.Trailing) {
					text = p.Trailing[k]
				}
				hidden = stepper.Step(c, c.Add(x, m.Text(c, c.FromInts([]int64{int64(text)}, 1))))
			}
			out.code0 = append(out.code0, split(t, m.CodecHead.Forward(c, hidden), 1)...)
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// split takes x apart into n rows.
func split(t *testing.T, x *ts.Tensor, n int) (rows [][]float32) {
	t.Helper()
	v, err := tensor.Floats(x)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		rows = append(rows, v[i*len(v)/n:(i+1)*len(v)/n])
	}
	return rows
}

func near(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d rows of logits, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		for j := range want[i] {
			if d := math.Abs(float64(got[i][j] - want[i][j])); d > 2e-4*(1+math.Abs(float64(want[i][j]))) {
				t.Errorf("%s, row %d: logit %d is %g, decoding has %g", what, i, j, got[i][j], want[i][j])
				return
			}
		}
	}
}
