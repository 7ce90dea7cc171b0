package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/qakd/qakd"
	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/finetune"
	"github.com/qakd/qakd/pkg/stage"
)

// settings are everything that decides the outcome; experiments.toml maps onto them.
type settings struct {
	Seed     int64           `toml:"seed"`
	Model    string          `toml:"model"`   // the base checkpoint's folder
	DType    string          `toml:"dtype"`   // of parameters and activations: float32 or bfloat16
	Device   string          `toml:"device"`  // auto, cpu, cuda:0
	Threads  int             `toml:"threads"` // of the tensor library; 0: one per core
	Finetune finetune.Config `toml:"finetune"`
}

func (s *settings) machine() stage.Experiment {
	return stage.Experiment{DType: s.DType, Device: s.Device, Threads: s.Threads}
}

// Validate reports all violations.
func (s *settings) Validate() error {
	var errs []error
	if s.Model == "" {
		errs = append(errs, errors.New("model is empty, want the folder of a base checkpoint (-model)"))
	}
	if s.Threads < 0 {
		errs = append(errs, fmt.Errorf("threads is %d, want 0 (one per core) or more", s.Threads))
	}
	_, err := s.machine().TensorType()
	return errors.Join(errors.Join(errs...), err, s.Finetune.Validate())
}

// keep writes down what the run in dir is begun with. A run that failed before it saved anything binds nobody.
func keep(resolved *experiment.Resolved, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, finetune.StatesDir)); err == nil {
		return nil
	}
	text, err := resolved.TOML()
	if err != nil {
		return err
	}
	return fsx.WriteBytes(filepath.Join(dir, stage.ExperimentFile), text)
}

// resolve is the experiment that the flags name.
func resolve(f experiment.Flags) (*settings, *experiment.Resolved, error) {
	file, err := experiment.Find(f.Config, qakd.Experiments)
	if err != nil {
		return nil, nil, err
	}
	if f.Model != "" {
		f.Set = append(f.Set, "model="+f.Model)
	}
	if f.Device != "" {
		f.Set = append(f.Set, "device="+f.Device)
	}
	s := &settings{Seed: 1, DType: "bfloat16", Device: "auto", Finetune: finetune.DefaultConfig()}
	resolved, err := file.Resolve(f.Experiment, f.Set, s)
	return s, resolved, err
}
