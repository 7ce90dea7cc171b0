package distill

import (
	"context"
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
)

// Probe measures students against one teacher on one set. It remembers the teacher's final hidden states, so that a
// measurement costs the student's forward pass only; they take 4·(H + (G-1)·Hp) bytes a frame.
type Probe struct {
	teacher *talker.Model
	cfg     MeasureConfig
	batches []probed
}

// probed is one batch with the teacher's outputs, which the probe owns.
type probed struct {
	layout  *forced
	teacher outputs
}

// NewProbe runs the teacher over set. The caller closes the probe, and the teacher after it.
func NewProbe(ctx context.Context, teacher *talker.Model, set data.Set, cfg MeasureConfig) (*Probe, error) {
	p := &Probe{teacher: teacher, cfg: cfg}
	err := eachBatch(ctx, teacher, set, cfg, func(l *forced) error {
		return nn.Run(func(c *nn.Context) error {
			t := inference(c, teacher, l, true)
			nn.NoGrad(func() { t.states = c.Contiguous(t.states) }) // a view would hold more than it shows
			c.Release(t.hidden)
			c.Release(t.states)
			p.batches = append(p.batches, probed{l, t})
			return nil
		})
	})
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("distill: probe: %w", err)
	}
	return p, nil
}

// Measure is the function Measure with the probe's teacher, set and configuration. It measures as many batches at a time as
// there are threads; the sums are the same for any number.
func (p *Probe) Measure(ctx context.Context, student *talker.Model) (Divergence, error) {
	return p.measure(ctx, student, false)
}

// MeasureBehind is Measure of a student that differs from the teacher in its heads and its code predictor's layers alone, on
// the teacher's device and in its dtype: its hidden states are the ones that are remembered, and the talker does not run.
func (p *Probe) MeasureBehind(ctx context.Context, student *talker.Model) (Divergence, error) {
	return p.measure(ctx, student, true)
}

func (p *Probe) measure(ctx context.Context, student *talker.Model, same bool) (Divergence, error) {
	if err := alike(p.teacher.Config, student.Config); err != nil {
		return Divergence{}, err
	}
	parts := make([]*meter, len(p.batches))
	err := tensor.Each(len(parts), func(i int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		parts[i] = newMeter(student, p.cfg)
		parts[i].same = same
		return nn.Run(func(c *nn.Context) error { return parts[i].add(c, p.batches[i].layout, p.batches[i].teacher) })
	})
	if err != nil {
		return Divergence{}, fmt.Errorf("distill: measure: %w", err)
	}
	m := newMeter(student, p.cfg)
	for _, part := range parts {
		m.merge(part)
	}
	return m.mean(), nil
}

// Close frees the remembered states.
func (p *Probe) Close() {
	for _, b := range p.batches {
		b.teacher.hidden.Drop()
		b.teacher.states.Drop()
	}
	p.batches = nil
}
