package main

import (
	"context"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// scores are a model's cross-entropy beside the truth's, nats per event of each codebook (see demo.Score).
type scores struct{ Model, Truth, Entropy []float64 }

func (s scores) total() float64 { return sum(s.Model) }

// excess is the share by which the model's cross-entropy is above that of the true probabilities on the same draws.
func (s scores) excess() float64 { return sum(s.Model)/sum(s.Truth) - 1 }

func sum(x []float64) float64 {
	t := 0.0
	for _, v := range x {
		t += v
	}
	return t
}

// score reads set with the model. how replaces speakers or lower codes by those of other utterances.
func score(ctx context.Context, m *talker.Model, set data.Set, batch int, how demo.Shuffle) (scores, error) {
	truth, err := demo.New().Score(set, demo.Straight)
	if err != nil {
		return scores{}, err
	}
	us, err := data.ReadAll(data.Stream(set))
	if err != nil {
		return scores{}, err
	}
	out := scores{Model: make([]float64, demo.Groups), Truth: truth.CrossEntropy[:], Entropy: truth.Entropy[:]}
	var n train.Counts
	for part := range slices.Chunk(us, batch) {
		if err := ctx.Err(); err != nil {
			return scores{}, err
		}
		n = n.Plus(train.Count(part))
		err := nn.Run(func(c *nn.Context) (err error) {
			nn.NoGrad(func() { err = surprises(c, m, part, how, out.Model) })
			return err
		})
		if err != nil {
			return scores{}, err
		}
	}
	for g := range out.Model {
		events := n.Frames
		if g == 0 {
			events += n.Utterances
		}
		out.Model[g] /= float64(events)
	}
	return out, nil
}

// surprises adds Σ -log p of each codebook over us to sums.
func surprises(c *nn.Context, m *talker.Model, us []data.Utterance, how demo.Shuffle, sums []float64) error {
	seqs := make([]talker.Sequence, len(us))
	for i, u := range us {
		if how == demo.ShuffleSpeaker {
			k := demo.SpeakerIndex(u.Speaker) + 1 + i%(len(demo.Speakers())-1)
			u.Speaker = demo.Speakers()[k%len(demo.Speakers())]
		}
		var err error
		if seqs[i], err = talker.TrainingRows(m.Config, u); err != nil {
			return err
		}
	}
	b, err := talker.Collate(seqs, talker.PadRight)
	if err != nil {
		return err
	}
	hidden, targets := m.Forward(c, b), b.Targets()
	logits := m.CodecHead.Forward(c, m.Pick(c, hidden, b.TargetRows()))
	code0 := c.Sum(surprise(c, logits, c.FromInts(targets, int64(len(targets)))))

	N, G := int64(len(b.Frame)), int64(m.Config.Groups())
	codes := c.FromInts(b.FrameCodes(), N, G)
	given := codes
	if how == demo.ShuffleLower { // each frame is given those of the frame half a batch away
		given = c.Cat(0, c.Narrow(codes, 0, N/2, N-N/2), c.Narrow(codes, 0, 0, N/2))
	}
	states := m.Predict(c, m.Pick(c, hidden, b.ConditionRows()), given)
	higher := c.SumDim(surprise(c, m.CodeLogits(c, states), c.Narrow(codes, 1, 1, G-1)), false, 0)
	values, err := tensor.Floats(c.Cat(0, c.Reshape(code0, 1), higher))
	for g, v := range values {
		sums[g] += float64(v)
	}
	return err
}

// surprise is -log softmax(logits)[target] in float32: logits [..., V], targets [...] int64.
func surprise(c *nn.Context, logits, targets *ts.Tensor) *ts.Tensor {
	lp := c.LogSoftmax(c.To(logits, gotch.Float), -1)
	return c.Neg(c.Squeeze(c.Gather(lp, -1, c.Unsqueeze(targets, -1)), -1))
}

// result is the verdict on a teacher, also as JSON.
type result struct {
	Entropy      []float64 `json:"entropy"`       // exact, nats per event of each codebook
	CrossEntropy []float64 `json:"cross_entropy"` // the model's
	OverTruth    float64   `json:"over_truth"`    // share by which the total is above the true probabilities' on the same draws
	Shuffled     struct {
		Speakers float64 `json:"speakers"` // share by which the total gets worse
		Lower    float64 `json:"lower_codes"`
	} `json:"shuffled"`
}

func verdict(ctx context.Context, m *talker.Model, set data.Set, batch int) (result, error) {
	straight, err := score(ctx, m, set, batch, demo.Straight)
	if err != nil {
		return result{}, err
	}
	r := result{Entropy: straight.Entropy, CrossEntropy: straight.Model, OverTruth: straight.excess()}
	for how, worse := range map[demo.Shuffle]*float64{demo.ShuffleSpeaker: &r.Shuffled.Speakers, demo.ShuffleLower: &r.Shuffled.Lower} {
		s, err := score(ctx, m, set, batch, how)
		if err != nil {
			return result{}, err
		}
		*worse = s.total()/straight.total() - 1
	}
	return r, nil
}

func (r result) table() *report.Table {
	t := &report.Table{Title: "held-out nats per frame", Columns: []string{"codebook", "entropy", "cross-entropy", "above %"}}
	row := func(name string, h, ce float64) { t.Add(name, h, ce, 100*(ce/h-1)) }
	for g := range r.Entropy {
		row(report.Cell(g), r.Entropy[g], r.CrossEntropy[g])
	}
	row("all", sum(r.Entropy), sum(r.CrossEntropy))
	t.Add("above the truth on the same draws", "", "", 100*r.OverTruth)
	t.Add("speakers shuffled", "", "", 100*r.Shuffled.Speakers)
	t.Add("lower codes shuffled", "", "", 100*r.Shuffled.Lower)
	return t
}
