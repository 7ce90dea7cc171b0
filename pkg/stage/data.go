package stage

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
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
	files := d.files()
	for _, split := range slices.Sorted(maps.Keys(files)) {
		path := files[split]
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

// readData reads the files of all splits and checks every utterance in every layout that it can be drawn in: a bad line,
// a missing file or one with too few utterances is an error now, not after hours of training.
func (r *Run) readData() error {
	lists, err := r.Experiment.lists(r.source)
	if err != nil {
		return err
	}
	r.lists = lists
	for _, split := range slices.Sorted(maps.Keys(lists)) {
		m, err := r.mix(split)
		if err == nil {
			err = m.Check()
		}
		if err == nil {
			err = r.Experiment.suffices(split, m.Len())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.Experiment.Data.files()[split], err)
		}
	}
	return nil
}

// lists are the files of all splits, read with the tokenizer of the checkpoint at source; none for the demo teacher.
func (e Experiment) lists(source string) (map[demo.Split]data.List, error) {
	if e.Model == "" {
		return nil, nil
	}
	lists, words := map[demo.Split]data.List{}, tokenizerOf(source)
	files := e.Data.files()
	for _, split := range slices.Sorted(maps.Keys(files)) {
		list, err := data.ReadFile(files[split], words)
		if err != nil {
			return nil, err
		}
		lists[split] = list
	}
	return lists, nil
}

// size is the number of utterances of a split that an experiment uses, and the key that says so; 0: all of a file.
func (e Experiment) size(split demo.Split) (n int, key string) {
	switch {
	case split == demo.Calibration:
		return e.Calib.Utterances, "calib.utterances"
	case split == demo.Selection:
		return e.Data.SelectionSize, "data.selection_size"
	case split == demo.Evaluation:
		return e.Eval.Utterances, "eval.utterances"
	case e.Model == "":
		return e.Data.DemoDistillation, "data.demo_distillation"
	}
	return 0, ""
}

// suffices wants as many utterances of a split as the experiment uses, of the have that there are: what is measured is to be
// what was asked for.
func (e Experiment) suffices(split demo.Split, have int) error {
	if want, key := e.size(split); have < want {
		return fmt.Errorf("%s is %d, but there are %d utterances: add some, or lower %[1]s to %[3]d", key, want, have)
	}
	return nil
}

// mix is a split in the layouts that the experiment weighs: a whole file, or the utterances of the demo that are used.
// What is trained or calibrated on follows the run's seed; the layout of a held-out utterance depends on its ID alone, so
// that runs with different seeds are measured alike.
func (r *Run) mix(split demo.Split) (*distill.Mix, error) {
	e := r.Experiment
	var set data.Set = r.lists[split]
	if e.Model == "" {
		var err error
		size, _ := e.size(split)
		if set, err = demo.New().Set(split, uint64(e.Seed), size); err != nil {
			return nil, err
		}
	}
	seed := e.Seed
	if split == demo.Selection || split == demo.Evaluation {
		seed = 0
	}
	return distill.NewMix(set, r.Teacher.Config, e.Distill.Layouts, seed)
}

// used is how many utterances of a split are used; readData has seen that they are there.
func (r *Run) used(m *distill.Mix, split demo.Split) int {
	if size, _ := r.Experiment.size(split); size > 0 {
		return size
	}
	return m.Len()
}

// utterances are those of a split that are used, each in its layout.
func (r *Run) utterances(split demo.Split) (data.List, error) {
	m, err := r.mix(split)
	if err != nil {
		return nil, err
	}
	list := make(data.List, r.used(m, split))
	for i := range list {
		if list[i], err = m.At(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}
