package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/layerwise"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// CalibrationDir is the folder of the run where the calibration has what it found out about each part of the model, and,
// until it is done, where it stands.
const CalibrationDir = "calibration"

// What the calibration keeps of a part.
const (
	partStatistics = "statistics.safetensors"
	partResult     = "result.safetensors"
)

// calibrator calibrates part by part: of statistics, Gram matrices and activations, there are never more than one part's.
type calibrator struct {
	run  *Run
	m    *talker.Model // the teacher, or a rotated copy
	plan *qat.Plan
	walk *layerwise.Walk
	from calib.Origin
	seen calib.Config // what statistics have to tell
}

// calibrator goes through us, made from the origin. seen is the configuration that needs most to be known.
func (r *Run) calibrator(us []data.Utterance, from calib.Origin, seen calib.Config) (*calibrator, error) {
	plan, err := qat.NewPlan(r.Teacher, r.Experiment.Quant)
	if err != nil {
		return nil, err
	}
	batches, err := collate(r.Teacher.Config, us, r.Experiment.Eval.Batch)
	if err != nil {
		return nil, err
	}
	if err := r.tellLayouts(); err != nil {
		return nil, err
	}
	c := &calibrator{run: r, m: r.Teacher, plan: plan, from: from, seen: seen}
	turn := ""
	if rotates(seen) {
		if c.m, err = r.turned(seen); err != nil {
			return nil, err
		}
		turn = "rotation " + seen.Turn() + "\n"
	}
	identity := fmt.Sprintf("model %s\ndata %s\ndtype %v\nbatch %d\n", from.Model, from.Data, nn.DTypeName(c.m.DType), r.Experiment.Eval.Batch) + turn
	if c.walk, err = layerwise.Open(r.path(calibrationDir(seen)), identity, c.m, batches); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// close frees the rotated copy, if there is one.
func (c *calibrator) close() {
	if c.m != c.run.Teacher {
		c.m.Close()
	}
}

// collate makes batches of size utterances.
func collate(cfg *talker.Config, us []data.Utterance, size int) (out []*talker.Batch, err error) {
	for part := range slices.Chunk(us, size) {
		b, err := distill.Collate(cfg, part)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// slots of a part that are quantized.
func (c *calibrator) slots(p talker.Part) []*nn.Slot { return c.plan.Of(p.Slots) }

// fit finds the parameters of all parts, and says how long the fits took. With keep, results of parts are in files until
// the whole is there: an interrupted run goes on behind the last of them.
func (c *calibrator) fit(ctx context.Context, cfg calib.Config, keep bool) (all *calib.Result, took time.Duration, err error) {
	all = calib.NewResult(cfg)
	p := newProgress(c)
	for i, part := range c.walk.Parts {
		if len(c.slots(part)) == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, took, err
		}
		res, spent, err := c.part(ctx, i, cfg, keep)
		if err != nil {
			return nil, took, err
		}
		all.Add(res)
		took += spent.fit
		p.report(i, spent)
	}
	return all, took, nil
}

// part is the result of part i.
func (c *calibrator) part(ctx context.Context, i int, cfg calib.Config, keep bool) (res *calib.Result, t spent, err error) {
	path := c.walk.Path(i, partResult)
	if keep {
		if res, err = calib.Load(path, c.from); err == nil && res.Config == cfg && c.covered(i, res) {
			return res, t, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.run.logf("calibrate: %s is fitted anew: %v", c.walk.Parts[i].Path, err)
		}
	}
	stats, err := c.statistics(ctx, i, &t)
	if err != nil {
		return nil, t, err
	}
	defer stats.Close()
	began := time.Now()
	places, err := c.places(ctx, i, stats, cfg)
	if err == nil {
		res, err = calib.Fit(stats, c.slots(c.walk.Parts[i]), c.plan.Scheme, cfg, places...)
	}
	if err == nil && keep {
		err = res.Save(path, c.from)
	}
	t.fit = time.Since(began)
	return res, t, err
}

// places are the folds with their scales. Where they are of inputs with static scales, part i reads the data once more, now that
// the folds are known.
func (c *calibrator) places(ctx context.Context, i int, stats *calib.Statistics, cfg calib.Config) ([]calib.Fold, error) {
	places, err := calib.FitFolds(stats, c.plan.Scheme, cfg, folds(c.m)...)
	if err != nil {
		return nil, err
	}
	part := c.walk.Parts[i]
	return places, calib.CollectFolded(ctx, stats, c.slots(part), c.walk.Steps(ctx, i), watch(part), c.plan.Scheme, cfg, places...)
}

// covered tells whether res has the layers of part i as they are to be quantized.
func (c *calibrator) covered(i int, res *calib.Result) bool {
	slots := c.slots(c.walk.Parts[i])
	for _, s := range slots {
		w, a := c.plan.Scheme(s.Path)
		if res.Schemes[s.Path] != (calib.Scheme{Out: s.Out, In: s.In, Weight: w, Input: a}) {
			return false
		}
	}
	return len(res.Schemes) == len(slots)
}

// statistics are those of the inputs of part i: read, where the folder has them, else collected and kept there.
func (c *calibrator) statistics(ctx context.Context, i int, t *spent) (stats *calib.Statistics, err error) {
	path, part := c.walk.Path(i, partStatistics), c.walk.Parts[i]
	slots := c.slots(part)
	if stats, err = calib.LoadStatistics(path, c.from, slots, c.seen); err == nil {
		return stats, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		c.run.logf("calibrate: statistics of %s are collected anew: %v", part.Path, err)
	}
	began := time.Now()
	stats, err = calib.Collect(ctx, slots, c.walk.Steps(ctx, i), watch(part), c.seen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", part.Path, err)
	}
	if err := stats.Save(path, c.from, c.seen); err != nil {
		stats.Close()
		return nil, err
	}
	t.collect = time.Since(began)
	return stats, nil
}

// watch is a step through a part with its rows named.
func watch(part talker.Part) func(p *calib.Pass, s *layerwise.Step) error {
	return func(p *calib.Pass, s *layerwise.Step) error {
		if part.Padded {
			p.Keep(s.Batch.Mask, s.Batch.B, s.Batch.T)
		}
		return s.Forward(p.Context)
	}
}
