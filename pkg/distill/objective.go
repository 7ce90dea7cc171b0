package distill

import (
	"errors"
	"fmt"
	"time"

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
	traits           []trait   // of layouts, to be logged
	cache            *Cache    // speaks for the teacher; nil: it speaks itself
	taught           time.Duration
}

// New pairs two talkers of one architecture. The teacher is only read; it may compute in another dtype and on another
// device, and may be nil when all weight is on cross-entropy.
func New(teacher, student *talker.Model, cfg Config) (*Objective, error) {
	o := &Objective{teacher: teacher}
	if teacher == nil {
		return o.learn(nil, student, cfg)
	}
	return o.learn(teacher.Config, student, cfg)
}

// NewCached pairs a student with what its teacher said once. The cache stays the caller's; it must have been made with
// what cfg says of it, for the utterances that will come.
func NewCached(cache *Cache, student *talker.Model, cfg Config) (*Objective, error) {
	if err := cache.fits(cfg); err != nil {
		return nil, err
	}
	return (&Objective{cache: cache}).learn(cache.config, student, cfg)
}

// learn checks that student and teacher fit; teacher is nil where there is none.
func (o *Objective) learn(teacher *talker.Config, student *talker.Model, cfg Config) (*Objective, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	if err := cfg.fits(student); err != nil {
		return nil, err
	}
	switch {
	case teacher != nil:
		if err := alike(teacher, student.Config); err != nil {
			return nil, err
		}
	case cfg.Taught():
		return nil, errors.New("distill: no teacher, want one for the weights of kl_code0, kl_codes, hidden and eos")
	}
	layouts, err := cfg.Layouts.For(student.Config)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	o.student, o.cfg, o.weights, o.traits = student, cfg, cfg.CodebookWeights, layouts.traits()
	return o, nil
}

// alike wants two models that read the same batches and predict the same classes.
func alike(t, s *talker.Config) error {
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

// Terms runs both models over us, laid out as they stand; see the package comment for the terms. The teacher is not
// recorded. Where the configuration weighs several layouts, terms without weight say how many of us have which.
func (o *Objective) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	l, err := layOut(o.student.Config, us)
	if err != nil {
		return nil, err
	}
	codes := o.cfg.KLCodes != 0 || o.cfg.CECodes != 0
	t, s, err := o.both(c, l, us, codes)
	if err != nil {
		return nil, err
	}
	n := counts{rows: float64(total.Frames + total.Utterances), frames: float64(total.Frames)}
	terms := o.code0(c, l, t, s, n)
	if codes {
		terms = append(terms, o.codes(c, l, t, s, n)...)
	}
	if w := o.cfg.Hidden; w != 0 {
		terms = append(terms, mean(c, "hidden", w, c.Sum(hiddenRows(c, t.hidden(c), s.hidden)), n.rows))
	}
	return append(terms, o.shares(c, l, total)...), nil
}

// lesson is what the teacher says about l, the layout of us; nil where no term asks.
func (o *Objective) lesson(c *nn.Context, l *forced, us []data.Utterance) (lesson, error) {
	if !o.cfg.Taught() {
		return nil, nil
	}
	if o.cache != nil {
		return o.cache.lesson(o.student, us)
	}
	began := time.Now()
	t := live{inference(c, o.teacher, l, o.cfg.KLCodes != 0), o.cfg.Code0Classes, o.student.Device, &o.taught}
	t.timed(began)
	return t, nil
}

// both is the lesson and what the student says. With Config.Beside, a living teacher and the student compute at the same time.
func (o *Objective) both(c *nn.Context, l *forced, us []data.Utterance, codes bool) (t lesson, s outputs, err error) {
	if !o.cfg.Beside || !o.cfg.Taught() || o.cache != nil {
		if t, err = o.lesson(c, l, us); err == nil {
			s = forward(c, o.student, l, codes)
		}
		return t, s, err
	}
	began := time.Now()
	var taught outputs
	err = tensor.Beside(func() error {
		return nn.Run(func(in *nn.Context) error {
			taught = inference(in, o.teacher, l, o.cfg.KLCodes != 0)
			for _, x := range taught.all() {
				in.Release(x)
			}
			return nil
		})
	}, func() { s = forward(c, o.student, l, codes) })
	for _, x := range taught.all() {
		c.Own(x)
	}
	t1 := live{taught, o.cfg.Code0Classes, o.student.Device, &o.taught}
	t1.timed(began)
	return t1, s, err
}

// TeacherTime is how long Terms has waited for a living teacher so far: its forward passes (beside the student's, the
// longer of both) and its heads.
func (o *Objective) TeacherTime() time.Duration { return o.taught }

// Taught tells whether some term needs a teacher.
func (c Config) Taught() bool { return c.KLCode0 != 0 || c.KLCodes != 0 || c.Hidden != 0 || c.EOS != 0 }

// counts are the denominators of the terms.
type counts struct{ rows, frames float64 }

func mean(c *nn.Context, name string, weight float64, sum *ts.Tensor, count float64) train.Term {
	return train.Term{Name: name, Weight: weight, Value: c.DivScalar(sum, count)}
}
