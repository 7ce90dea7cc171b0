package distill

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch/ts"
)

// active are those of the named terms that have a weight.
func (c Config) active(names ...string) []termWeight {
	var out []termWeight
	for _, name := range names {
		for _, t := range c.weights() {
			if t.key == name && t.weight != 0 {
				out = append(out, t)
			}
		}
	}
	return out
}

// means makes terms of their sums.
func means(c *nn.Context, active []termWeight, sums []*ts.Tensor, count float64) []train.Term {
	var out []train.Term
	for i, t := range active {
		out = append(out, mean(c, t.key, t.weight, sums[i], count))
	}
	return out
}

// code0 are the terms behind the codec head.
func (o *Objective) code0(c *nn.Context, l *forced, t, s outputs, n counts) []train.Term {
	cfg, active := o.cfg, o.cfg.active("kl_code0", "eos", "ce_code0")
	if len(active) == 0 {
		return nil
	}
	sums := o.chunked(c, s.hidden, t.hidden, len(active), func(c *nn.Context, student, teacher *ts.Tensor, at, n int64) (out []*ts.Tensor) {
		ls := headLogits(c, o.student, student)
		if cfg.KLCode0 != 0 || cfg.EOS != 0 {
			lt := o.taught(c, headLogits, teacher)
			rt, rs := reachable(c, o.student.Config, lt), reachable(c, o.student.Config, ls)
			if cfg.KLCode0 != 0 && cfg.Code0Classes == Full {
				out = append(out, c.Sum(o.kl(c, lt, ls)))
			} else if cfg.KLCode0 != 0 {
				out = append(out, c.Sum(o.kl(c, rt, rs)))
			}
			if cfg.EOS != 0 {
				out = append(out, c.Sum(binaryKLRows(c, eosLogit(c, rt), eosLogit(c, rs))))
			}
		}
		if cfg.CECode0 != 0 {
			out = append(out, c.Sum(nllRows(c, ls, ints(c, o.student, l.labels[at:at+n], n))))
		}
		return out
	})
	return means(c, active, sums, n.rows)
}

// codes are the terms behind the code predictor's heads.
func (o *Objective) codes(c *nn.Context, l *forced, t, s outputs, n counts) []train.Term {
	cfg, active := o.cfg, o.cfg.active("kl_codes", "ce_codes")
	if len(active) == 0 {
		return nil
	}
	sums := o.chunked(c, s.states, t.states, len(active), func(c *nn.Context, student, teacher *ts.Tensor, at, n int64) (out []*ts.Tensor) {
		ls := codeLogits(c, o.student, student)
		if cfg.KLCodes != 0 {
			out = append(out, c.Sum(o.weigh(c, o.kl(c, o.taught(c, codeLogits, teacher), ls))))
		}
		if cfg.CECodes != 0 {
			out = append(out, c.Sum(o.weigh(c, nllRows(c, ls, c.Narrow(l.targets(c, o.student), 0, at, n)))))
		}
		return out
	})
	return means(c, active, sums, n.frames)
}

// kl is klRows with the configured temperature and its factor T².
func (o *Objective) kl(c *nn.Context, teacher, student *ts.Tensor) *ts.Tensor {
	T := o.cfg.Temperature
	rows := klRows(c, teacher, student, T)
	if T == 1 {
		return rows
	}
	return c.MulScalar(rows, T*T)
}

// taught evaluates a head of the teacher on its states: not recorded, not watched.
func (o *Objective) taught(c *nn.Context, head func(*nn.Context, *talker.Model, *ts.Tensor) *ts.Tensor, states *ts.Tensor) (logits *ts.Tensor) {
	nn.NoGrad(func() { logits = head(&nn.Context{Scope: c.Scope}, o.teacher, states) })
	return logits
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
