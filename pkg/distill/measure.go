package distill

import (
	"context"
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
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

	Layouts []LayoutDivergence // by layout of the prompts, most utterances first; nil where all have one
}

// LayoutDivergence is the part of the utterances with one layout.
type LayoutDivergence struct {
	Layout             Layout
	Utterances, Frames int64
	KL                 []float64 // [G]
}

// NatsPerFrame is the sum of KL over all codebooks.
func (d LayoutDivergence) NatsPerFrame() float64 { return sum(d.KL) }

// EndRow is one decision between going on and ending.
type EndRow struct {
	End              bool    // the utterance ends here
	Teacher, Student float64 // probability of the end among what sampling can choose
}

// NatsPerFrame is the sum of KL over all codebooks.
func (d Divergence) NatsPerFrame() float64 { return sum(d.KL) }

func sum(x []float64) float64 {
	total := 0.0
	for _, v := range x {
		total += v
	}
	return total
}

// Measure compares two talkers over all of set, whose utterances are laid out as they stand. Nothing is recorded; sums are float64. A canceled ctx ends it. To
// measure several students, or one again and again, make a Probe.
func Measure(ctx context.Context, teacher, student *talker.Model, set data.Set, cfg MeasureConfig) (Divergence, error) {
	if err := alike(teacher.Config, student.Config); err != nil {
		return Divergence{}, err
	}
	m := newMeter(student, cfg)
	err := eachBatch(ctx, teacher, set, cfg, func(l *forced) error {
		return nn.Run(func(c *nn.Context) error { return m.add(c, l, inference(c, teacher, l, true)) })
	})
	if err != nil {
		return Divergence{}, fmt.Errorf("distill: measure: %w", err)
	}
	return m.mean(), nil
}

// eachBatch calls f with the batches of set, in order.
func eachBatch(ctx context.Context, m *talker.Model, set data.Set, cfg MeasureConfig, f func(l *forced) error) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if set.Len() == 0 {
		return data.ErrEmpty
	}
	for at := 0; at < set.Len(); at += cfg.Batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		us := make([]data.Utterance, min(cfg.Batch, set.Len()-at))
		for i := range us {
			var err error
			if us[i], err = set.At(at + i); err != nil {
				return err
			}
		}
		l, err := layOut(m.Config, us)
		if err != nil {
			return err
		}
		if err := f(l); err != nil {
			return err
		}
	}
	return nil
}
