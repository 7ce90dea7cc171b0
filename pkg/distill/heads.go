package distill

import (
	"github.com/qakd/qakd/pkg/nn"
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

// code0 are the terms behind the codec head.
func (o *Objective) code0(c *nn.Context, l *forced, t lesson, s outputs, n counts) []train.Term {
	cfg, active := o.cfg, o.cfg.active("kl_code0", "eos", "ce_code0")
	return o.chunked(c, s.hidden, o.student.CodecHead, active, n.rows, func(c *nn.Context, student *ts.Tensor, at, n int64) (out []*ts.Tensor) {
		ls := headLogits(c, o.student, student)
		if cfg.KLCode0 != 0 || cfg.EOS != 0 {
			a := t.code0(c, at, n)
			rs := reachable(c, o.student.Config, ls)
			if cfg.KLCode0 != 0 && cfg.Code0Classes == Full {
				out = append(out, c.Sum(o.kl(c, a, ls)))
			} else if cfg.KLCode0 != 0 {
				out = append(out, c.Sum(o.kl(c, a, rs)))
			}
			if cfg.EOS != 0 {
				out = append(out, c.Sum(binaryKLRows(c, a.end, eosLogit(c, rs))))
			}
		}
		if cfg.CECode0 != 0 {
			out = append(out, c.Sum(nllRows(c, ls, ints(c, o.student, l.labels[at:at+n], n))))
		}
		return out
	})
}

// codes are the terms behind the code predictor's heads.
func (o *Objective) codes(c *nn.Context, l *forced, t lesson, s outputs, n counts) []train.Term {
	cfg, active := o.cfg, o.cfg.active("kl_codes", "ce_codes")
	return o.chunked(c, s.states, nn.Group(o.student.Predictor.Heads), active, n.frames, func(c *nn.Context, student *ts.Tensor, at, n int64) (out []*ts.Tensor) {
		ls := codeLogits(c, o.student, student)
		if cfg.KLCodes != 0 {
			out = append(out, c.Sum(o.weigh(c, o.kl(c, t.codes(c, at, n), ls))))
		}
		if cfg.CECodes != 0 {
			out = append(out, c.Sum(o.weigh(c, nllRows(c, ls, c.Narrow(l.targets(c, o.student), 0, at, n)))))
		}
		return out
	})
}

// kl is the KL of each row with the configured temperature and its factor T².
func (o *Objective) kl(c *nn.Context, teacher answer, student *ts.Tensor) *ts.Tensor {
	T := o.cfg.Temperature
	rows := teacher.kl(c, student, T)
	if T == 1 {
		return rows
	}
	return c.MulScalar(rows, T*T)
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
