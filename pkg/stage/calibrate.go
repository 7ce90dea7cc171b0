package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/layerwise"
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
		if res, err = calib.Load(r.path(ResultFile), from); err == nil { // of a run that was killed before it came to that
			err = layerwise.Clear(r.path(calibrationDir(res.Config)), partResult)
		}
	} else {
		res, err = r.fit(ctx, us, from)
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

// suits checks, before data are read, that every layer can be fitted by cfg.
func (r *Run) suits(cfg calib.Config) error {
	plan, err := qat.NewPlan(r.Teacher, r.Experiment.Quant)
	if err != nil {
		return err
	}
	for _, s := range plan.Slots(r.Teacher) {
		w, _ := plan.Scheme(s.Path)
		if err := cfg.Suits(w); err != nil {
			return fmt.Errorf("%s: %w", s.Path, err)
		}
	}
	return nil
}

// fit derives scales from statistics of the teacher's inputs, and writes them to <run>/calibration.safetensors. Results of
// parts are there until the whole is.
func (r *Run) fit(ctx context.Context, us []data.Utterance, from calib.Origin) (*calib.Result, error) {
	if err := r.suits(r.Experiment.Calib); err != nil {
		return nil, err
	}
	w, err := r.calibrator(us, from, r.Experiment.Calib)
	if err != nil {
		return nil, err
	}
	defer w.close()
	res, _, err := w.fit(ctx, r.Experiment.Calib, true)
	if err == nil {
		err = res.Save(r.path(ResultFile), from)
	}
	if err != nil {
		return nil, err
	}
	return res, w.walk.Clear(partResult)
}

// calibrated is a student with what calibration found: rotations, scales that moved between layers, parameters and codes of
// weights, scales of inputs.
func (r *Run) calibrated(res *calib.Result) (*talker.Model, error) {
	from := r.path(StudentDir)
	changed := len(res.Folds) > 0 || rotates(res.Config)
	if changed { // they are for float weights
		from = r.source
	}
	m, err := r.load(from)
	if err != nil {
		return nil, err
	}
	if changed {
		err = r.rotate(m, res.Config)
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

// origin hashes the teacher (teacherID) and the calibration data.
func (r *Run) origin(us []data.Utterance) (calib.Origin, error) {
	model, err := r.teacherID()
	if err != nil {
		return calib.Origin{}, err
	}
	sum, err := hashOf(us)
	return calib.Origin{Model: model, Data: sum}, err
}

func hashOf(us []data.Utterance) (string, error) {
	text, err := json.Marshal(us)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
