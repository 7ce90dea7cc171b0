package stage

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/talker"
)

// survey looks at every micro-batch of the training and returns the one with the most activations.
func (r *Run) survey(x *Memory, m *talker.Model) (largest []data.Utterance, err error) {
	e := r.Experiment
	set, err := r.mix(demo.Distillation)
	if err != nil {
		return nil, err
	}
	most, batches := int64(-1), 0
	entries := map[string]bool{}
	var frames int64
	for us, err := range e.training().Batches(set) {
		if err != nil {
			return nil, err
		}
		batches++
		n, err := extent(m.Config, us, e.Distill.Cache.On())
		if err != nil {
			return nil, err
		}
		if n.cost > most {
			most, largest, x.Rows, x.Frames = n.cost, us, n.rows, n.frames
		}
		for i, key := range n.keys {
			if !entries[key] {
				entries[key] = true
				frames += int64(us[i].Frames())
			}
		}
	}
	x.teacher, err = e.TeacherType()
	if err != nil {
		return nil, err
	}
	x.accumulates = batches > e.Train.Steps
	if e.Distill.Cache.On() {
		if x.Cache, err = distill.CacheBytes(m.Config, x.teacher, e.Distill, int64(len(entries)), frames); err != nil {
			return nil, err
		}
	}
	t := &m.Config.Talker
	held, err := r.utterances(demo.Selection)
	for _, u := range held {
		states := t.Hidden + int64(t.Groups-1)*t.Predictor.Hidden
		x.Selection += (int64(u.Frames())*states + t.Hidden) * tensor.ElementSize(x.teacher)
	}
	return largest, err
}

// batchSize is what a micro-batch's memory depends on.
type batchSize struct {
	rows, frames int
	cost         int64    // about how many numbers its activations are
	keys         []string // of the teacher cache, if asked for
}

func extent(cfg *talker.Config, us []data.Utterance, keys bool) (b batchSize, err error) {
	for _, u := range us {
		s, err := distill.Rows(cfg, u)
		if err != nil {
			return b, err
		}
		b.rows, b.frames = max(b.rows, len(s.Rows)), b.frames+u.Frames()
		if keys {
			b.keys = append(b.keys, distill.CacheKey(s))
		}
	}
	b.rows *= len(us)
	t, p := &cfg.Talker, &cfg.Talker.Predictor
	b.cost = int64(b.rows)*t.Intermediate*int64(t.Layers) + int64(b.frames)*int64(t.Groups)*p.Intermediate*int64(p.Layers)
	return b, nil
}
