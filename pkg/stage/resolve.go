package stage

import (
	"github.com/qakd/qakd"
	"github.com/qakd/qakd/pkg/experiment"
)

// Resolve finds the experiment that the flags name, in the file that they name, else ./experiments.toml, else the
// built-in copy. -model and -device win over the file.
func Resolve(f experiment.Flags) (Experiment, *experiment.Resolved, error) {
	file, err := experiment.Find(f.Config, qakd.Experiments)
	if err != nil {
		return Experiment{}, nil, err
	}
	sets := f.Set
	if f.Model != "" {
		sets = append(sets, "model="+f.Model)
	}
	if f.Device != "" {
		sets = append(sets, "device="+f.Device)
	}
	e := Default()
	resolved, err := file.Resolve(f.Experiment, sets, &e)
	return e, resolved, err
}
