package stage

import (
	"github.com/qakd/qakd/pkg/qat"
)

// Student prepares the teacher's weights for quantization-aware training and writes <run>/student. Scales come from the
// weights alone.
func (r *Run) Student() (*qat.Plan, error) {
	plan, err := qat.NewPlan(r.Teacher, r.Experiment.Quant)
	if err != nil {
		return nil, err
	}
	if r.has(StudentDir) {
		r.logf("student: %s is there", r.path(StudentDir))
		return plan, nil
	}
	m, err := r.load(r.source)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if _, err := qat.Prepare(m, r.Experiment.Quant); err != nil {
		return nil, err
	}
	return plan, qat.SaveStudent(r.path(StudentDir), m, qat.SaveOptions{Source: r.source})
}
