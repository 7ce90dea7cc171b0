package distill

import (
	"context"
	"errors"
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch/ts"
)

// MeasureConfig of Measure.
type MeasureConfig struct {
	Batch   int     `toml:"batch"`   // utterances per forward pass
	Classes Classes `toml:"classes"` // of the codec head that KL and agreement of code 0 are over
	// ChunkRows bounds the rows whose logits exist at a time; 0: all of a batch.
	ChunkRows int `toml:"chunk_rows"`
}

// DefaultMeasureConfig compares the whole head.
func DefaultMeasureConfig() MeasureConfig {
	return MeasureConfig{Batch: 8, Classes: Full, ChunkRows: 1024}
}

// Validate reports all violations.
func (c MeasureConfig) Validate() error {
	var errs []error
	if c.Batch < 1 {
		errs = append(errs, fmt.Errorf("batch is %d, want at least 1", c.Batch))
	}
	if c.Classes != Full && c.Classes != Reachable {
		errs = append(errs, fmt.Errorf("classes is %q, want %q or %q", c.Classes, Full, Reachable))
	}
	if c.ChunkRows < 0 {
		errs = append(errs, fmt.Errorf("chunk_rows is %d, want 0 or more", c.ChunkRows))
	}
	return errors.Join(errs...)
}

// Divergence is how far a student is from its teacher, both reading the true past. Index 0 is code 0 (over the rows
// before a frame or the end), index g code g (over frames).
type Divergence struct {
	Utterances, Frames int64
	KL                 []float64 // [G] mean KL(teacher ‖ student) in nats, temperature 1
	Agreement          []float64 // [G] share of rows where both have the same most likely class
	Ends               []EndRow  // one per row of code 0, utterance by utterance
}

// EndRow is one decision between going on and ending.
type EndRow struct {
	End              bool    // the utterance ends here
	Teacher, Student float64 // probability of the end among what sampling can choose
}

// NatsPerFrame is the sum of KL over all codebooks.
func (d Divergence) NatsPerFrame() float64 {
	sum := 0.0
	for _, v := range d.KL {
		sum += v
	}
	return sum
}

// Measure compares two talkers over all of set. Nothing is recorded; sums are float64. A canceled ctx ends it.
func Measure(ctx context.Context, teacher, student *talker.Model, set data.Set, cfg MeasureConfig) (Divergence, error) {
	if err := cfg.Validate(); err != nil {
		return Divergence{}, fmt.Errorf("distill: measure: %w", err)
	}
	if err := alike(teacher, student); err != nil {
		return Divergence{}, err
	}
	if set.Len() == 0 {
		return Divergence{}, fmt.Errorf("distill: measure: %w", data.ErrEmpty)
	}
	G := student.Config.Groups()
	d := Divergence{KL: make([]float64, G), Agreement: make([]float64, G)}
	for at := 0; at < set.Len(); at += cfg.Batch {
		if err := ctx.Err(); err != nil {
			return d, fmt.Errorf("distill: measure: %w", err)
		}
		us := make([]data.Utterance, min(cfg.Batch, set.Len()-at))
		for i := range us {
			var err error
			if us[i], err = set.At(at + i); err != nil {
				return d, err
			}
		}
		if err := d.add(teacher, student, us, cfg); err != nil {
			return d, fmt.Errorf("distill: measure: %w", err)
		}
	}
	for g := range G {
		rows := float64(d.Frames)
		if g == 0 {
			rows += float64(d.Utterances)
		}
		d.KL[g] /= rows
		d.Agreement[g] /= rows
	}
	return d, nil
}

// add adds the sums over us.
func (d *Divergence) add(teacher, student *talker.Model, us []data.Utterance, cfg MeasureConfig) error {
	l, err := layOut(student.Config, us)
	if err != nil {
		return err
	}
	err = nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			t, s := inference(c, teacher, l, true), inference(c, student, l, true)
			err = eachChunk(c, l.M, cfg.ChunkRows, func(c *nn.Context, at, n int64) error {
				return d.addCode0(c, l, t, s, at, n, cfg.Classes)
			})
			if err != nil {
				return
			}
			err = eachChunk(c, l.N, cfg.ChunkRows, func(c *nn.Context, at, n int64) error {
				return d.addCodes(c, t, s, at, n)
			})
		})
		return err
	})
	d.Utterances += int64(len(us))
	d.Frames += l.N
	return err
}

// eachChunk calls f for runs of at most size rows; temporaries end with each.
func eachChunk(c *nn.Context, rows int64, size int, f func(c *nn.Context, at, n int64) error) (err error) {
	step := int64(size)
	if step == 0 {
		step = rows
	}
	for at := int64(0); at < rows && err == nil; at += step {
		c.Nest(func(in *nn.Context) { err = f(in, at, min(step, rows-at)) })
	}
	return err
}

func (d *Divergence) addCode0(c *nn.Context, l *layout, t, s outputs, at, n int64, k Classes) error {
	lt := headLogits(c, t.m, c.Narrow(t.hidden, 0, at, n))
	ls := headLogits(c, s.m, c.Narrow(s.hidden, 0, at, n))
	rt, rs := reachable(c, t.m.Config, lt), reachable(c, s.m.Config, ls)
	pt, err := tensor.Floats(c.Sigmoid(eosLogit(c, rt)))
	if err != nil {
		return err
	}
	ps, err := tensor.Floats(c.Sigmoid(eosLogit(c, rs)))
	if err != nil {
		return err
	}
	eos := int64(s.m.Config.Talker.CodecEos)
	for i := range pt {
		d.Ends = append(d.Ends, EndRow{End: l.labels[at+int64(i)] == eos, Teacher: float64(pt[i]), Student: float64(ps[i])})
	}
	if k == Reachable {
		lt, ls = rt, rs
	}
	return d.addRows(c, lt, ls, 0)
}

func (d *Divergence) addCodes(c *nn.Context, t, s outputs, at, n int64) error {
	return d.addRows(c, codeLogits(c, t.m, c.Narrow(t.states, 0, at, n)), codeLogits(c, s.m, c.Narrow(s.states, 0, at, n)), 1)
}

// addRows adds KL and agreement of logits [n,V], or [n,k,V], to the codebooks from g on.
func (d *Divergence) addRows(c *nn.Context, teacher, student *ts.Tensor, g int) error {
	kl, err := tensor.Floats(klRows(c, teacher, student, 1))
	if err != nil {
		return err
	}
	same, err := tensor.Ints(c.Eq(c.Argmax(teacher, -1), c.Argmax(student, -1)))
	if err != nil {
		return err
	}
	size := c.Shape(teacher)
	k := 1
	if len(size) == 3 {
		k = int(size[1])
	}
	for i := range kl {
		d.KL[g+i%k] += float64(kl[i])
		d.Agreement[g+i%k] += float64(same[i])
	}
	return nil
}
