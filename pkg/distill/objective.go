package distill

import (
	"errors"
	"fmt"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch/ts"
)

// Objective makes a student follow its teacher. It is a train.Objective.
type Objective struct {
	teacher, student *talker.Model
	cfg              Config
	weights          []float64 // of codes 1 … G-1; nil: all 1
}

// New pairs two talkers of one architecture. The teacher is only read; it may compute in another dtype, and may be nil
// when all weight is on cross-entropy.
func New(teacher, student *talker.Model, cfg Config) (*Objective, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	if err := cfg.fits(student); err != nil {
		return nil, err
	}
	switch {
	case teacher != nil:
		if err := alike(teacher, student); err != nil {
			return nil, err
		}
	case cfg.taught():
		return nil, errors.New("distill: no teacher, want one for the weights of kl_code0, kl_codes, hidden and eos")
	}
	return &Objective{teacher: teacher, student: student, cfg: cfg, weights: cfg.CodebookWeights}, nil
}

// alike wants two models that read the same batches and predict the same classes.
func alike(teacher, student *talker.Model) error {
	t, s := teacher.Config, student.Config
	for _, d := range []struct {
		key  string
		t, s int64
	}{
		{"talker_config.hidden_size", t.Talker.Hidden, s.Talker.Hidden},
		{"talker_config.vocab_size", t.Talker.Vocab, s.Talker.Vocab},
		{"talker_config.num_code_groups", int64(t.Groups()), int64(s.Groups())},
		{"code_predictor_config.vocab_size", t.Codebook(), s.Codebook()},
		{"talker_config.codec_eos_token_id", int64(t.Talker.CodecEos), int64(s.Talker.CodecEos)},
	} {
		if d.t != d.s {
			return fmt.Errorf("distill: %s is %d in the teacher and %d in the student, want them equal", d.key, d.t, d.s)
		}
	}
	return nil
}

// Module is the student.
func (o *Objective) Module() nn.Module { return o.student }

// Terms runs both models over us; see the package comment for the terms. The teacher is not recorded.
func (o *Objective) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	l, err := layOut(o.student.Config, us)
	if err != nil {
		return nil, err
	}
	codes := o.cfg.KLCodes != 0 || o.cfg.CECodes != 0
	var t outputs
	if o.cfg.taught() {
		t = inference(c, o.teacher, l, o.cfg.KLCodes != 0)
	}
	s := forward(c, o.student, l, codes)
	n := counts{rows: float64(total.Frames + total.Utterances), frames: float64(total.Frames)}
	terms := o.code0(c, l, t, s, n)
	if codes {
		terms = append(terms, o.codes(c, l, t, s, n)...)
	}
	if w := o.cfg.Hidden; w != 0 {
		terms = append(terms, mean(c, "hidden", w, c.Sum(hiddenRows(c, t.hidden, s.hidden)), n.rows))
	}
	return terms, nil
}

// taught tells whether some term needs the teacher.
func (c Config) taught() bool { return c.KLCode0 != 0 || c.KLCodes != 0 || c.Hidden != 0 || c.EOS != 0 }

// counts are the denominators of the terms.
type counts struct{ rows, frames float64 }

func mean(c *nn.Context, name string, weight float64, sum *ts.Tensor, count float64) train.Term {
	return train.Term{Name: name, Weight: weight, Value: c.DivScalar(sum, count)}
}

// code0 are the terms behind the codec head.
func (o *Objective) code0(c *nn.Context, l *layout, t, s outputs, n counts) []train.Term {
	var names []string
	var weights []float64
	for _, w := range []termWeight{{"kl_code0", o.cfg.KLCode0}, {"eos", o.cfg.EOS}, {"ce_code0", o.cfg.CECode0}} {
		if w.weight != 0 {
			names, weights = append(names, w.key), append(weights, w.weight)
		}
	}
	if len(names) == 0 {
		return nil
	}
	T := o.cfg.Temperature
	sums := o.chunked(c, s.hidden, t.hidden, len(names), func(c *nn.Context, hidden, taught *ts.Tensor, at, n int64) []*ts.Tensor {
		student := headLogits(c, o.student, hidden)
		full := []*ts.Tensor{nil, student}
		if o.cfg.KLCode0 != 0 || o.cfg.EOS != 0 {
			full[0] = o.taughtLogits(c, func(q *nn.Context) *ts.Tensor {
				return headLogits(q, o.teacher, taught)
			})
		}
		var ends []*ts.Tensor
		if full[0] != nil && (o.cfg.EOS != 0 || o.cfg.Code0Classes == Reachable) {
			ends = []*ts.Tensor{reachable(c, o.student.Config, full[0]), reachable(c, o.student.Config, full[1])}
		}
		var out []*ts.Tensor
		for _, name := range names {
			var rows *ts.Tensor
			switch {
			case name == "kl_code0" && o.cfg.Code0Classes == Full:
				rows = c.MulScalar(klRows(c, full[0], full[1], T), T*T)
			case name == "kl_code0":
				rows = c.MulScalar(klRows(c, ends[0], ends[1], T), T*T)
			case name == "eos":
				rows = binaryKLRows(c, eosLogit(c, ends[0]), eosLogit(c, ends[1]))
			case name == "ce_code0":
				rows = nllRows(c, student, ints(c, o.student, l.labels[at:at+n], n))
			}
			out = append(out, c.Sum(rows))
		}
		return out
	})
	var terms []train.Term
	for i, name := range names {
		terms = append(terms, mean(c, name, weights[i], sums[i], n.rows))
	}
	return terms
}

// codes are the terms behind the code predictor's heads.
func (o *Objective) codes(c *nn.Context, l *layout, t, s outputs, n counts) []train.Term {
	var names []string
	var weights []float64
	for _, w := range []termWeight{{"kl_codes", o.cfg.KLCodes}, {"ce_codes", o.cfg.CECodes}} {
		if w.weight != 0 {
			names, weights = append(names, w.key), append(weights, w.weight)
		}
	}
	T := o.cfg.Temperature
	sums := o.chunked(c, s.states, t.states, len(names), func(c *nn.Context, states, taught *ts.Tensor, at, n int64) []*ts.Tensor {
		student := codeLogits(c, o.student, states)
		var out []*ts.Tensor
		if slices.Contains(names, "kl_codes") {
			teacher := o.taughtLogits(c, func(q *nn.Context) *ts.Tensor {
				return codeLogits(q, o.teacher, taught)
			})
			out = append(out, c.Sum(o.weigh(c, c.MulScalar(klRows(c, teacher, student, T), T*T))))
		}
		if slices.Contains(names, "ce_codes") {
			labels := c.Narrow(l.targets(c, o.student), 0, at, n)
			out = append(out, c.Sum(o.weigh(c, nllRows(c, student, labels))))
		}
		return out
	})
	var terms []train.Term
	for i, name := range names {
		terms = append(terms, mean(c, name, weights[i], sums[i], n.frames))
	}
	return terms
}

// weigh multiplies each codebook's column of rows [n,G-1] by its weight.
func (o *Objective) weigh(c *nn.Context, rows *ts.Tensor) *ts.Tensor {
	if len(o.weights) == 0 {
		return rows
	}
	w := make([]float32, len(o.weights))
	for i, v := range o.weights {
		w[i] = float32(v)
	}
	return c.Mul(rows, c.ToDevice(c.FromFloats(w, int64(len(w))), o.student.Device))
}

// taughtLogits evaluates a head of the teacher: not recorded, not watched.
func (o *Objective) taughtLogits(c *nn.Context, f func(q *nn.Context) *ts.Tensor) (logits *ts.Tensor) {
	nn.NoGrad(func() { logits = f(&nn.Context{Scope: c.Scope}) })
	return logits
}

// headTerms sums terms behind a head over n rows from row at on: student and teacher are those rows of both models'
// states; teacher is nil where no term needs it.
type headTerms func(c *nn.Context, student, teacher *ts.Tensor, at, n int64) []*ts.Tensor

// chunked adds up the nout sums of f over chunks of at most ChunkRows rows. Logits of a chunk are not kept for the
// backward pass but computed again, so that they never exist for more rows.
func (o *Objective) chunked(c *nn.Context, student, teacher *ts.Tensor, nout int, f headTerms) []*ts.Tensor {
	rows, size := c.Shape(student)[0], int64(o.cfg.ChunkRows)
	if size == 0 || rows <= size {
		return f(c, student, teacher, 0, rows)
	}
	var sums []*ts.Tensor
	for at := int64(0); at < rows; at += size {
		n := min(size, rows-at)
		// The teacher's rows are an input too: the graph keeps inputs until the backward pass, the context may not.
		ins := []*ts.Tensor{c.Narrow(student, 0, at, n)}
		if teacher != nil {
			ins = append(ins, c.Narrow(teacher, 0, at, n))
		}
		segment := func(in *nn.Context, ins []*ts.Tensor) []*ts.Tensor {
			if len(ins) == 1 {
				return f(in, ins[0], nil, at, n)
			}
			return f(in, ins[0], ins[1], at, n)
		}
		var got []*ts.Tensor
		if tensor.GradEnabled() {
			got = c.Checkpoint(segment, nout, ins...)
		} else {
			c.Nest(func(in *nn.Context) {
				for _, t := range segment(in, ins) {
					got = append(got, in.Promote(t))
				}
			})
		}
		if sums == nil {
			sums = got
			continue
		}
		for i := range sums {
			sums[i] = c.Add(sums[i], got[i])
		}
	}
	return sums
}
