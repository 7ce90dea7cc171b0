package distill

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// forced is a teacher-forced batch with the rows that losses are about. M rows predict code 0 or the end (frames +
// utterances); N of them precede a frame.
type forced struct {
	batch   *talker.Batch
	rows    []int64 // [M] flat numbers of the rows that predict
	labels  []int64 // [M] what they predict
	frames  []int64 // [N] which of the M rows precede a frame
	codes   []int64 // [N·G]
	M, N, G int64
	layouts []Layout // [B]
}

// layOut builds the aligned batch of us, as they stand, for models with cfg.
func layOut(cfg *talker.Config, us []data.Utterance) (*forced, error) {
	b, err := Collate(cfg, us)
	if err != nil {
		return nil, err
	}
	l := &forced{batch: b, rows: b.TargetRows(), labels: b.Targets(), codes: b.FrameCodes(), G: int64(cfg.Groups())}
	for i, label := range l.labels {
		if label != int64(cfg.Talker.CodecEos) {
			l.frames = append(l.frames, int64(i))
		}
	}
	l.N, l.M = int64(len(l.frames)), int64(len(l.rows))
	for _, u := range us {
		l.layouts = append(l.layouts, LayoutOf(cfg, u))
	}
	return l, nil
}

// layoutOf is the layout of the utterance that the m-th row that predicts belongs to.
func (l *forced) layoutOf(m int64) Layout { return l.layouts[l.rows[m]/int64(l.batch.T)] }

// targets are codes 1 … G-1 of the frames, [N,G-1].
func (l *forced) targets(c *nn.Context, m *talker.Model) *ts.Tensor {
	return c.Narrow(ints(c, m, l.codes, l.N, l.G), 1, 1, l.G-1)
}

// outputs are one model's states over a batch.
type outputs struct {
	m      *talker.Model
	hidden *ts.Tensor // [M,H] final-normed, of the rows that predict
	states *ts.Tensor // [N,G-1,Hp] behind the code predictor's heads; nil when nobody asked
}

// all are the tensors of o.
func (o outputs) all() (l []*ts.Tensor) {
	for _, x := range []*ts.Tensor{o.hidden, o.states} {
		if x != nil {
			l = append(l, x)
		}
	}
	return l
}

// forward runs m over l; the code predictor only if codes is set.
func forward(c *nn.Context, m *talker.Model, l *forced, codes bool) outputs {
	o := outputs{m: m, hidden: m.Pick(c, m.Forward(c, l.batch), l.rows)}
	if codes {
		o.states = predict(c, m, l, o.hidden)
	}
	return o
}

// predict runs the code predictor of m behind hidden [M,H].
func predict(c *nn.Context, m *talker.Model, l *forced, hidden *ts.Tensor) *ts.Tensor {
	condition := c.IndexSelect(hidden, 0, ints(c, m, l.frames, l.N))
	return m.Predict(c, condition, ints(c, m, l.codes, l.N, l.G))
}

// inference is forward without recording, without watchers (they watch the student) and without keeping activations.
func inference(c *nn.Context, m *talker.Model, l *forced, codes bool) (o outputs) {
	c.Scope.Nest(func(s *tensor.Scope) {
		nn.NoGrad(func() { o = forward(&nn.Context{Scope: s}, m, l, codes) })
		s.Promote(o.hidden)
		if o.states != nil {
			s.Promote(o.states)
		}
	})
	return o
}

// behind is inference of a model whose hidden states are those of t: its code predictor alone runs.
func behind(c *nn.Context, m *talker.Model, l *forced, t outputs) outputs {
	o := outputs{m: m, hidden: t.hidden}
	c.Scope.Nest(func(s *tensor.Scope) {
		nn.NoGrad(func() { o.states = s.Promote(predict(&nn.Context{Scope: s}, m, l, t.hidden)) })
	})
	return o
}

// headLogits is the float32 logits of the whole codec head from hidden rows [n,H]: [n,Vc].
func headLogits(c *nn.Context, m *talker.Model, hidden *ts.Tensor) *ts.Tensor {
	return c.To(m.CodecHead.Forward(c, hidden), gotch.Float)
}

// reachable are the columns of logits [n,Vc] that sampling can choose: the codes, and the end as the last, [n,V+1].
func reachable(c *nn.Context, cfg *talker.Config, logits *ts.Tensor) *ts.Tensor {
	eos := int64(cfg.Talker.CodecEos)
	return c.Cat(1, c.Narrow(logits, 1, 0, cfg.Codebook()), c.Narrow(logits, 1, eos, 1))
}

// codeLogits is the float32 logits [n,G-1,V] of codes 1 … G-1 from states [n,G-1,Hp].
func codeLogits(c *nn.Context, m *talker.Model, states *ts.Tensor) *ts.Tensor {
	return c.To(m.CodeLogits(c, states), gotch.Float)
}

func ints(c *nn.Context, m *talker.Model, v []int64, shape ...int64) *ts.Tensor {
	return c.ToDevice(c.FromInts(v, shape...), m.Device)
}
