package stage

import (
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/talker"
)

// Identity is what results depend on beside an experiment's settings, by hashes (hex).
type Identity struct {
	Model       string `json:"model"`       // the teacher's weights and configuration
	Calibration string `json:"calibration"` // utterances, each in its layout
	Evaluation  string `json:"evaluation"`  //
}

// Identify hashes what an experiment names: its checkpoint and its data. It loads no weights.
func (e Experiment) Identify() (id Identity, err error) {
	r, err := attach(e, "")
	if err != nil {
		return id, err
	}
	cfg, err := talker.ReadConfig(r.source)
	if err != nil {
		return id, err
	}
	if r.Teacher, err = talker.New(cfg); err != nil {
		return id, err
	}
	if err = r.readData(); err != nil {
		return id, err
	}
	us, err := r.utterances(demo.Calibration)
	if err != nil {
		return id, err
	}
	seen, err := r.origin(us)
	if err != nil {
		return id, err
	}
	id.Model, id.Calibration = seen.Model, seen.Data
	if us, err = r.utterances(demo.Evaluation); err != nil {
		return id, err
	}
	id.Evaluation, err = hashOf(us)
	return id, err
}
