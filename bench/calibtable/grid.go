package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

// setting is a column of the table: one teacher and one scheme.
type setting struct {
	Teacher   string `json:"teacher"`   // demo or twin
	Group     int    `json:"group"`     // size of the weights' groups
	Symmetric bool   `json:"symmetric"` // weights
	Inputs    string `json:"inputs"`    // a16, a8 and a4 (per token), a8-static
}

// cell is a setting with one draw of utterances.
type cell struct {
	setting
	seed string
}

// String names its folder.
func (c cell) String() string {
	weights := "sym"
	if !c.Symmetric {
		weights = "asym"
	}
	return fmt.Sprintf("%s-w4-%s-g%d-%s-seed%s", c.Teacher, weights, c.Group, c.Inputs, c.seed)
}

// groups divide the widths of the demo teacher, 128, 256 and 512: no scheme falls back to another group.
var groups = []int{32, 128}

// cells are the grid, seed by seed.
func (o options) cells() (out []cell) {
	for _, seed := range o.Seeds {
		for _, teacher := range o.Teachers {
			for _, symmetric := range []bool{true, false} {
				for _, group := range groups {
					for _, inputs := range []string{"a16", "a8"} {
						out = append(out, cell{setting{teacher, group, symmetric, inputs}, seed})
					}
				}
			}
			out = append(out, cell{setting{teacher, groups[0], true, "a8-static"}, seed}, cell{setting{teacher, groups[0], true, "a4"}, seed})
		}
	}
	return slices.DeleteFunc(out, func(c cell) bool { return len(o.methods(c.setting)) == 0 })
}

// methods are those of a setting.
func (o options) methods(s setting) (out []string) {
	switch {
	case s.Inputs == "a8-static":
		for _, m := range o.Static {
			for _, observer := range o.Observers {
				out = append(out, m+"/"+observer)
			}
		}
		return out
	case s.Inputs == "a4":
		return o.Narrow
	case s.Symmetric:
		return o.Methods
	}
	return o.Asymmetric
}

// resolve is the experiment of a cell.
func (o options) resolve(c cell) (stage.Experiment, *experiment.Resolved, error) {
	name := "demo-w4a8"
	if c.Teacher != "demo" {
		name = "demo-" + c.Teacher + "-w4a8"
	}
	sets := []string{
		fmt.Sprintf("seed=%s", c.seed), fmt.Sprintf("quant.weight.group_size=%d", c.Group), fmt.Sprintf("quant.weight.symmetric=%v", c.Symmetric),
		fmt.Sprintf("calib.utterances=%d", o.Calibration), fmt.Sprintf("eval.utterances=%d", o.Evaluation), fmt.Sprintf("threads=%d", o.threads),
	}
	switch c.Inputs {
	case "a16":
		sets = append(sets, "quant.activation.bits=0", "quant.activation.mode=none")
	case "a4":
		sets = append(sets, "quant.activation.bits=4")
	case "a8-static":
		sets = append(sets, "quant.activation.mode=static_tensor")
	}
	return stage.Resolve(experiment.Flags{Experiment: name, Set: sets})
}

// score is what the table tells of a method in a cell.
type score struct {
	KL         float64 `json:"kl"` // nats per frame
	Agreement0 float64 `json:"agreement_code0"`
	AgreementN float64 `json:"agreement_codes"` // mean over codes 1 …
}

// scoresFile holds a cell's scores, in its folder.
const scoresFile = "scores.json"

// scores is that file.
type scores struct {
	Settings settings         `json:"settings"`
	Methods  map[string]score `json:"methods"`
}

// settings are what scores depend on: of all that an experiment has, and of what it names.
type settings struct {
	Seed     int64           `json:"seed"`
	DType    string          `json:"dtype"`
	Teacher  stage.Teacher   `json:"teacher"`
	Quant    qat.Config      `json:"quant"`
	Calib    calib.Config    `json:"calib"`
	Layouts  distill.Layouts `json:"layouts"`
	Eval     eval.Config     `json:"eval"`
	Identity stage.Identity  `json:"identity"`
}

// measure gives the scores of a cell's methods: those that its folder has, and of the others what comparing them finds. What
// is large and can be made again does not stay.
func (o options) measure(ctx context.Context, c cell, dir string) (_ map[string]score, err error) {
	e, resolved, err := o.resolve(c)
	if err != nil {
		return nil, err
	}
	identity, err := e.Identify()
	if err != nil {
		return nil, err
	}
	known := scores{settings{e.Seed, e.DType, e.Teacher, e.Quant, e.Calib, e.Distill.Layouts, e.Eval, identity}, map[string]score{}}
	if err := known.read(dir); err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(o.methods(c.setting)), func(m string) bool { _, ok := known.Methods[m]; return ok })
	if len(missing) == 0 {
		return known.Methods, nil
	}
	r, err := stage.Open(e, resolved, dir, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if _, err := r.Student(); err != nil {
		return nil, err
	}
	found, err := r.Compare(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, row := range found.Rows {
		known.Methods[row.Method] = score{KL: row.KL, Agreement0: row.Agreements[0], AgreementN: row.AgreementCodes()}
	}
	err = fsx.Write(filepath.Join(dir, scoresFile), func(w io.Writer) error { return report.JSON(w, known) })
	if err != nil {
		return nil, err
	}
	return known.Methods, errors.Join(os.RemoveAll(filepath.Join(dir, stage.StudentDir)), os.RemoveAll(filepath.Join(dir, stage.CalibrationDir)),
		os.RemoveAll(filepath.Join(dir, stage.RotatedDir)))
}

// read takes over the scores in a cell's folder, none if it has not been there; those of other settings are an error.
func (s *scores) read(dir string) error {
	path := filepath.Join(dir, scoresFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var have scores
	if err := json.Unmarshal(text, &have); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !reflect.DeepEqual(have.Settings, s.Settings) {
		return fmt.Errorf("%s has the scores of other settings, of another teacher or of other data: -run names another folder", path)
	}
	s.Methods = have.Methods
	return nil
}
