package stage

import (
	"context"
	"errors"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/sensitivity"
	"github.com/qakd/qakd/pkg/track"
)

// study measures the damages that s lacks on held, in the order of the calibration, whose statistics are of one part of the
// model at a time; tables, which need none, come last.
type study struct {
	sensitivity.Study
	*calibrator
	s        *Sensitivity
	progress track.Tracker
	done     int64
}

func (c *calibrator) study(ctx context.Context, s *Sensitivity, held data.List) (err error) {
	r := c.run
	probe, err := distill.NewProbe(ctx, r.Teacher, held, r.Experiment.Eval.Measure())
	if err != nil {
		return err
	}
	defer probe.Close()
	done, total := s.Count(s.inventory.Parts)
	x := &study{
		Study:      sensitivity.Study{Teacher: c.m, Probe: probe, Quant: r.Experiment.Quant, Calib: c.seen},
		calibrator: c, s: s, progress: track.NewProgress(r.Log, "sensitivity", 20), done: done,
	}
	defer func() { err = errors.Join(err, x.progress.Close()) }()
	if err := x.progress.Start(done, total); err != nil {
		return err
	}
	layers, tables := map[string]sensitivity.Part{}, []sensitivity.Part(nil)
	for _, p := range s.inventory.Parts {
		if p.Table {
			tables = append(tables, p)
		} else {
			layers[p.Path] = p
		}
	}
	for i := range c.walk.Parts {
		if err := x.part(ctx, i, layers); err != nil {
			return err
		}
	}
	if err := x.measure(ctx, tables); err != nil {
		return err
	}
	return c.walk.Clear()
}

// part measures the layers of part i of the calibration.
func (x *study) part(ctx context.Context, i int, layers map[string]sensitivity.Part) (err error) {
	var parts []sensitivity.Part
	for _, slot := range x.slots(x.walk.Parts[i]) {
		parts = append(parts, layers[slot.Path])
	}
	if done, total := x.s.Count(parts); done == total {
		return nil
	}
	if x.Stats, err = x.statistics(ctx, i, &spent{}); err != nil {
		return err
	}
	defer x.Stats.Close()
	return x.measure(ctx, parts)
}

func (x *study) measure(ctx context.Context, parts []sensitivity.Part) error {
	save := func() error { return x.s.Save(x.run.path(SensitivityFile)) }
	return x.Measure(ctx, parts, x.s.Table, save, func(d sensitivity.Damage) error {
		x.done++
		return x.progress.Step(track.Step{Step: x.done, Values: []track.Value{{Name: "kl", V: d.Total()}}})
	})
}
