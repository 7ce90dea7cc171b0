package stage

import (
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// RotatedDir stands beside CalibrationDir, for the calibration of a rotated model.
const RotatedDir = CalibrationDir + "-rotated"

func rotates(cfg calib.Config) bool { return cfg.Rotation == calib.RotateHadamard }

// calibrationDir is the folder of a calibration by cfg.
func calibrationDir(cfg calib.Config) string {
	if rotates(cfg) {
		return RotatedDir
	}
	return CalibrationDir
}

// turned is the rotated copy of the teacher that cfg calibrates.
func (r *Run) turned(cfg calib.Config) (*talker.Model, error) {
	dtype, err := r.Experiment.TeacherType()
	if err != nil {
		return nil, err
	}
	m, err := loadAs(r.source, dtype, r.Teacher.Device)
	if err != nil {
		return nil, err
	}
	if err := r.rotate(m, cfg); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// rotate turns a float model, if cfg says so.
func (r *Run) rotate(m *talker.Model, cfg calib.Config) error {
	if !rotates(cfg) {
		return nil
	}
	plan, err := qat.NewPlan(m, r.Experiment.Quant)
	if err != nil {
		return err
	}
	return calib.Rotate(m, plan.Slots(m), cfg.RotationSeed)
}
