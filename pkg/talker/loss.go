package talker

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Objective is a way to pair hidden states with targets. The reference's fine-tuning script pairs them otherwise than
// its own decoding does; its forms are here to be compared with, Aligned to be trained with.
type Objective string

const (
	// Script is the shipped script: raw text embeddings without projection, code 0 of two rows ahead, the code predictor
	// conditioned on the row that already holds the frame, and head j against code j+2.
	Script Objective = "script"
	// Projected is Script with the text projection.
	Projected Objective = "projected"
	// Aligned is what decoding does: row p predicts row p+1, the code predictor reads the row before the frame, and head
	// j is held against code j+1.
	Aligned Objective = "aligned"
)

// SubWeight is the weight of the code predictor's cross-entropy beside the talker's, in every objective.
const SubWeight = 0.3

// ParseObjective reads a name.
func ParseObjective(name string) (Objective, error) {
	switch o := Objective(name); o {
	case Script, Projected, Aligned:
		return o, nil
	}
	return "", fmt.Errorf("talker: objective %q, want %q, %q or %q", name, Script, Projected, Aligned)
}

// UnmarshalText reads the name, for configuration files.
func (o *Objective) UnmarshalText(b []byte) (err error) {
	*o, err = ParseObjective(string(b))
	return err
}

// Trainable is nil for Aligned; for the others the error says what they would teach.
func (o Objective) Trainable() error {
	switch o {
	case Aligned:
		return nil
	case Script, Projected:
		return fmt.Errorf("talker: objective %q shifts code 0 and the code predictor's targets once too often and shows the "+
			"predictor the frame it predicts, so it is for comparison only: want %q", o, Aligned)
	}
	_, err := ParseObjective(string(o))
	return err
}

// Losses are cross-entropies in nats, one-element float32 tensors, and what they are made of.
type Losses struct {
	Talker *ts.Tensor // mean over labelled rows
	Sub    *ts.Tensor // code predictor, mean over frames and codes
	Total  *ts.Tensor // Talker + 0.3·Sub

	Embedded  *ts.Tensor // [B,T,H], the rows
	Hidden    *ts.Tensor // [B,T,H], final-normed
	Condition *ts.Tensor // [N,H], what the code predictor was given
	SubLogits *ts.Tensor // [N,G-1,V]
}

// Loss runs the talker and its code predictor, teacher-forced, on a batch that Collate padded on the right.
func (m *Model) Loss(c *nn.Context, b *Batch, o Objective) (Losses, error) {
	ahead, before, skip := 2, int64(0), int64(1)
	if o == Aligned {
		ahead, before, skip = 1, 1, 0
	}
	rows, labels := b.targets(ahead)
	if len(rows) == 0 || len(b.Frame) == 0 {
		return Losses{}, fmt.Errorf("talker: a batch with %d labels and %d frames has no loss, want at least one each", len(rows), len(b.Frame))
	}
	text := m.Text
	if o == Script {
		if t := &m.Config.Talker; t.TextHidden != t.Hidden {
			return Losses{}, fmt.Errorf("talker: objective %q adds raw text embeddings: text_hidden_size %d, want hidden_size %d",
				o, t.TextHidden, t.Hidden)
		}
		text = m.TextEmbedding.Forward
	}
	var l Losses
	l.Embedded = m.embed(c, b, text)
	l.Hidden = m.Hidden(c, l.Embedded, m.View(c, b), nil)
	l.Talker = m.CrossEntropy(c, m.CodecHead.Forward(c, m.Pick(c, l.Hidden, rows)), labels)

	l.Condition = m.Pick(c, l.Hidden, b.conditions(before))
	N, G := int64(len(b.Frame)), int64(m.Config.Groups())
	codes := m.ints(c, b.FrameCodes(), N, G)
	l.SubLogits = m.CodeLogits(c, m.Predict(c, l.Condition, codes))
	l.Sub = m.CodeLoss(c, l.SubLogits, b.FrameCodes(), skip)
	l.Total = c.Add(l.Talker, c.MulScalar(l.Sub, SubWeight))
	return l, nil
}

// CodeLoss is the mean cross-entropy of logits [N,G-1,V] with codes [N·G]: head j against code j+1+skip. Only skip 0 is
// right; skip 1 is the reference script's.
func (m *Model) CodeLoss(c *nn.Context, logits *ts.Tensor, codes []int64, skip int64) *ts.Tensor {
	G := int64(m.Config.Groups())
	var labels []int64
	for n := int64(0); n < int64(len(codes)); n += G {
		labels = append(labels, codes[n+1+skip:n+G]...)
	}
	return m.CrossEntropy(c, c.Reshape(c.Narrow(logits, 1, 0, G-1-skip), -1, m.Config.Codebook()), labels)
}

// CrossEntropy is the mean over rows of logits [n,V] of -log p(label), in float32.
func (m *Model) CrossEntropy(c *nn.Context, logits *ts.Tensor, labels []int64) *ts.Tensor {
	logp := c.LogSoftmax(c.To(logits, gotch.Float), -1)
	return c.Neg(c.Mean(c.Gather(logp, 1, m.ints(c, labels, int64(len(labels)), 1))))
}
