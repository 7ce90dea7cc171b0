package stage

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
)

// Data says where utterances come from: JSONL files (package data), or with the demo teacher its synthetic language.
type Data struct {
	Calibration  string `toml:"calibration"`  // paths
	Distillation string `toml:"distillation"` //
	Selection    string `toml:"selection"`    // choice of a checkpoint and of baselines
	Evaluation   string `toml:"evaluation"`   // final numbers only
	// Of the synthetic language: utterances to distil on, and to choose a checkpoint by. How many calibrate and evaluate
	// is said in their own sections.
	DemoDistillation int `toml:"demo_distillation"`
	SelectionSize    int `toml:"selection_size"` // utterances, also of a file
}

// DefaultData is the demo's.
func DefaultData() Data { return Data{DemoDistillation: 100_000, SelectionSize: 128} }

func (d Data) files() map[demo.Split]string {
	return map[demo.Split]string{
		demo.Calibration: d.Calibration, demo.Distillation: d.Distillation, demo.Selection: d.Selection, demo.Evaluation: d.Evaluation,
	}
}

func (d Data) validate(model string) error {
	var errs []error
	for split, path := range d.files() {
		switch {
		case model == "" && path != "":
			errs = append(errs, fmt.Errorf("%v is %q, want none: the demo teacher reads its own language (set model)", split, path))
		case model != "" && path == "":
			errs = append(errs, fmt.Errorf("%v is empty, want a JSONL file of utterances for model %q", split, model))
		}
	}
	if d.DemoDistillation < 1 {
		errs = append(errs, fmt.Errorf("demo_distillation is %d, want at least 1", d.DemoDistillation))
	}
	if d.SelectionSize < 1 {
		errs = append(errs, fmt.Errorf("selection_size is %d, want at least 1", d.SelectionSize))
	}
	return errors.Join(errs...)
}

// set opens a split; n limits the utterances, 0 does not.
func (e Experiment) set(split demo.Split, n int) (data.Set, error) {
	if e.Model == "" {
		if split == demo.Distillation {
			n = e.Data.DemoDistillation
		}
		return demo.New().Set(split, uint64(e.Seed), n)
	}
	list, err := data.ReadFile(e.Data.files()[split])
	if err != nil {
		return nil, err
	}
	if n > 0 && n < list.Len() {
		list = list[:n]
	}
	return list, nil
}

// utterances of a split, at most n.
func (e Experiment) utterances(split demo.Split, n int) (data.List, error) {
	set, err := e.set(split, n)
	if err != nil {
		return nil, err
	}
	return data.ReadAll(data.Stream(set))
}
