package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// Calibrate runs calibration data through the float teacher, fits the student's scales, and writes
// <run>/calibration.safetensors and <run>/calibrated.
func (r *Run) Calibrate(ctx context.Context) (*calib.Result, error) {
	if !r.has(StudentDir) {
		return nil, fmt.Errorf("%s is not there: run the student stage first", r.path(StudentDir))
	}
	us, err := r.utterances(demo.Calibration)
	if err != nil {
		return nil, err
	}
	from, err := r.origin(us)
	if err != nil {
		return nil, err
	}
	var res *calib.Result
	if r.has(ResultFile) {
		r.logf("calibrate: %s is there", r.path(ResultFile))
		res, err = calib.Load(r.path(ResultFile), from)
	} else {
		res, err = r.fit(ctx, us, from)
		if err == nil {
			err = res.Save(r.path(ResultFile), from)
		}
	}
	if err != nil || r.has(CalibratedDir) {
		return res, err
	}
	student, err := r.calibrated(res)
	if err != nil {
		return nil, err
	}
	defer student.Close()
	return res, qat.SaveStudent(r.path(CalibratedDir), student, qat.SaveOptions{Source: r.source})
}

// fit derives scales from statistics of the teacher's inputs.
func (r *Run) fit(ctx context.Context, us []data.Utterance, from calib.Origin) (*calib.Result, error) {
	plan, err := qat.NewPlan(r.Teacher, r.Experiment.Quant)
	if err != nil {
		return nil, err
	}
	slots := plan.Slots(r.Teacher)
	stats, err := r.statistics(ctx, slots, us, from, r.Experiment.Calib)
	if err != nil {
		return nil, err
	}
	defer stats.Close()
	return r.fitted(ctx, stats, slots, us, plan, r.Experiment.Calib)
}

// statistics are those of the teacher's inputs over us: read, where <run>/statistics.safetensors has them, else collected and
// kept there.
func (r *Run) statistics(ctx context.Context, slots []*nn.Slot, us []data.Utterance, from calib.Origin, cfg calib.Config) (*calib.Statistics, error) {
	path := r.path(calib.StatisticsName)
	if r.has(calib.StatisticsName) {
		stats, err := calib.LoadStatistics(path, from, slots, cfg)
		if err == nil {
			r.logf("calibrate: %s is there", path)
			return stats, nil
		}
		r.logf("calibrate: statistics are collected anew: %v", err)
	}
	if len(us) < cfg.Utterances {
		return nil, fmt.Errorf("calib.utterances is %d, but the calibration data have %d", cfg.Utterances, len(us))
	}
	stats, err := calib.Collect(ctx, slots, batches(us, r.Experiment.Eval.Batch), r.watch, cfg)
	if err != nil {
		return nil, err
	}
	if err := stats.Save(path, from, cfg); err != nil {
		stats.Close()
		return nil, err
	}
	return stats, nil
}

// watch runs the teacher over a batch: talker, heads and code predictor.
func (r *Run) watch(p *calib.Pass, us []data.Utterance) error {
	m := r.Teacher
	b, err := distill.Collate(m.Config, us)
	if err != nil {
		return err
	}
	c := p.Context
	x := m.Embed(c, b)
	p.Keep(b.Mask, b.B, b.T)
	hidden := m.Hidden(c, x, m.View(c, b), nil)
	p.KeepAll()
	m.CodecHead.Forward(c, m.Pick(c, hidden, b.TargetRows()))
	codes := c.ToDevice(c.FromInts(b.FrameCodes(), int64(len(b.Frame)), int64(m.Config.Groups())), m.Device)
	m.CodeLogits(c, m.Predict(c, m.Pick(c, hidden, b.ConditionRows()), codes))
	return nil
}

func batches(us []data.Utterance, size int) iter.Seq2[[]data.Utterance, error] {
	return func(yield func([]data.Utterance, error) bool) {
		for part := range slices.Chunk(us, size) {
			if !yield(part, nil) {
				return
			}
		}
	}
}

// calibrated is a student with what calibration found: scales that moved between layers, parameters and codes of weights,
// scales of inputs.
func (r *Run) calibrated(res *calib.Result) (*talker.Model, error) {
	from := r.path(StudentDir)
	if len(res.Folds) > 0 { // they are for float weights
		from = r.source
	}
	m, err := r.load(from)
	if err != nil {
		return nil, err
	}
	if len(res.Folds) > 0 {
		for _, f := range folds(m) {
			if scale := res.Folds[f.Path]; scale != nil && err == nil {
				err = f.Apply(scale)
			}
		}
		if err == nil {
			_, err = qat.Prepare(m, r.Experiment.Quant)
		}
	}
	if err == nil {
		err = apply(m, res)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// apply gives a prepared student the calibrated parameters.
func apply(m *talker.Model, res *calib.Result) error {
	if err := qat.SetQParams(m, res.Weights); err != nil {
		return err
	}
	if err := qat.SetCodes(m, res.Codes); err != nil {
		return err
	}
	if len(res.Inputs) == 0 {
		return nil
	}
	return qat.SetInputScales(m, res.Inputs)
}

// origin hashes the teacher's weights and the calibration data.
func (r *Run) origin(us []data.Utterance) (calib.Origin, error) {
	model, err := r.teacherID()
	if err != nil {
		return calib.Origin{}, err
	}
	text, err := json.Marshal(us)
	if err != nil {
		return calib.Origin{}, err
	}
	sum := sha256.Sum256(text)
	return calib.Origin{Model: model, Data: hex.EncodeToString(sum[:])}, nil
}
