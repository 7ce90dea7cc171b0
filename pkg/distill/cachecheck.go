package distill

import (
	"context"
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// sample is n utterances of a stream, each equally likely (reservoir sampling), the same ones every time.
type sample struct {
	n, seen int
	r       *rng.Stream
	us      []data.Utterance
}

func newSample(n int) *sample { return &sample{n: n, r: rng.New(0, "teacher cache sample")} }

func (s *sample) offer(u data.Utterance) {
	s.seen++
	if len(s.us) < s.n {
		s.us = append(s.us, u)
	} else if k := s.r.IntN(s.seen); k < s.n {
		s.us[k] = u
	}
}

// verify compares the sample's entries with what the teacher says now. The error names the first utterance that differs.
func (w *scribe) verify(ctx context.Context) error {
	for _, u := range w.sample.us {
		if err := ctx.Err(); err != nil {
			return err
		}
		d, err := w.distance(u)
		if err != nil {
			return err
		}
		if most := w.cfg.Cache.Tolerance; !(d.worst() <= most) {
			return fmt.Errorf("distill: cache %s: utterance %q: %s: want at most %v (cache.tolerance; remove the folder if the teacher has changed)", w.dir, u.ID, d, most)
		}
	}
	return nil
}

// distance of an entry from the teacher: mean total variation over the rows, and ‖h - h'‖/‖h‖ of hidden states.
type distance struct{ code0, codes, hidden float64 }

func (d distance) worst() float64 {
	for _, v := range []float64{d.code0, d.codes, d.hidden} {
		if math.IsNaN(v) {
			return v
		}
	}
	return max(d.code0, d.codes, d.hidden)
}

func (d distance) String() string {
	return fmt.Sprintf("total variation from the living teacher %.3g in code 0 and %.3g in the other codes, hidden states %.3g apart", d.code0, d.codes, d.hidden)
}

func (w *scribe) distance(u data.Utterance) (d distance, err error) {
	us := []data.Utterance{u}
	l, err := layOut(w.config, us)
	if err != nil {
		return d, err
	}
	entries, err := w.find(us)
	if err != nil {
		return d, err
	}
	err = nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			r := recorded{w.Cache, entries, gotch.CPU}
			t := live{inference(c, w.teacher, l, true), w.spec.Classes, gotch.CPU, nil}
			size := int64(w.cfg.ChunkRows)
			add := func(sum *float64, rows int64, x *ts.Tensor) error {
				v, err := tensor.Scalar(c.Sum(x))
				*sum += v / float64(rows)
				return err
			}
			err = eachChunk(c, l.M, int(size), func(c *nn.Context, at, n int64) error {
				return add(&d.code0, l.M, w.variation(c, r.code0(c, at, n), t.code0(c, at, n)))
			})
			if err == nil {
				err = eachChunk(c, l.N, int(size), func(c *nn.Context, at, n int64) error {
					return add(&d.codes, l.N*(l.G-1), w.variation(c, r.codes(c, at, n), t.codes(c, at, n)))
				})
			}
			if err == nil && w.spec.Hidden > 0 {
				err = add(&d.hidden, l.M, c.Sqrt(hiddenRows(c, t.hidden(c), r.hidden(c))))
			}
		})
		return err
	})
	return d, err
}

// variation is ½·Σ|p - p'| of each row, over the classes that the entry tells apart.
func (w *scribe) variation(c *nn.Context, entry, teacher answer) *ts.Tensor {
	gap := func(a, b *ts.Tensor) *ts.Tensor { return c.Abs(c.Sub(c.Exp(a), c.Exp(b))) }
	logp := c.LogSoftmax(c.DivScalar(teacher.logits, w.spec.Temperature), -1)
	if entry.top == nil {
		return c.MulScalar(c.SumDim(gap(c.LogSoftmax(entry.logits, -1), logp), false, -1), 0.5)
	}
	p := entry.top
	within := c.SumDim(gap(p.logp, c.Gather(logp, -1, p.ids)), false, -1)
	return c.MulScalar(c.Add(within, gap(p.tail, others(c, logp, p.ids))), 0.5)
}
