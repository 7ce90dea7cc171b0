package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/sensitivity"
)

// Entries of a run folder for mixed precision. They do not occupy it: another budget is another plan on the same damages.
const (
	SensitivityFile = "sensitivity.json"
	PlanFile        = "plan.toml"
)

// Sensitivity is what every form of every layer and table does to the teacher's speech.
type Sensitivity struct {
	*sensitivity.Table
	inventory *sensitivity.Inventory
}

// Tables are the damages for a person.
func (s *Sensitivity) Tables() []*report.Table { return s.inventory.Tables(s.Table) }

// Sensitivity measures the damages, or reads those that <run>/sensitivity.json has for this model, data and settings.
func (r *Run) Sensitivity(ctx context.Context) (*Sensitivity, error) {
	return r.sensitivity(ctx, 1<<62)
}

// MixedPrecision is a plan of mixed precision, and the experiment that makes it.
type MixedPrecision struct {
	*sensitivity.Plan
	Name string `json:"experiment"`
	TOML string `json:"toml"`
}

// MixedPrecision measures damages as Sensitivity does, spends a budget of bytes on the packed model.safetensors, and writes the experiment
// of that plan to <run>/plan.toml and what is the plan's of it to the log.
func (r *Run) MixedPrecision(ctx context.Context, budget int64) (*MixedPrecision, error) {
	s, err := r.sensitivity(ctx, budget)
	if err != nil {
		return nil, err
	}
	plan, err := s.inventory.Allocate(s.Table, budget)
	if err != nil {
		return nil, err
	}
	m := &MixedPrecision{Plan: plan, Name: r.Name + "-mixed"}
	m.TOML = plan.Experiment(m.Name, r.values)
	r.logf("sensitivity: the plan is experiment %s of %s:\n\n%s", m.Name, r.path(PlanFile), plan.Fragment())
	return m, fsx.WriteBytes(r.path(PlanFile), []byte(m.TOML))
}

// sensitivity fails before anything is measured when no plan fits into the budget.
func (r *Run) sensitivity(ctx context.Context, budget int64) (*Sensitivity, error) {
	e := r.Experiment
	inventory, err := sensitivity.NewInventory(r.Teacher, r.source, e.Quant, e.Sensitivity)
	if err != nil {
		return nil, err
	}
	if err := inventory.Fits(budget); err != nil {
		return nil, err
	}
	rounding, err := e.Sensitivity.Rounding(e.Calib)
	if err == nil {
		err = inventory.Suits(rounding)
	}
	if err != nil {
		return nil, err
	}
	us, err := r.utterances(demo.Calibration)
	if err != nil {
		return nil, err
	}
	held, err := r.utterances(demo.Selection)
	if err != nil {
		return nil, err
	}
	if n := e.Sensitivity.Utterances; len(held) < n {
		return nil, fmt.Errorf("sensitivity.utterances is %d, but data.selection_size takes %d of %s: raise that to %[1]d, or lower sensitivity.utterances",
			n, len(held), cmp.Or(e.Data.Selection, "the demo's language"))
	}
	held = held[:e.Sensitivity.Utterances]
	if fold := e.Calib.Fold; fold != calib.FoldNone {
		r.logf("sensitivity: calib.fold is %s, but damages are of layers without folds, whose scales belong to no single layer; runs of the plan fold", fold)
	}
	seen, err := r.origin(us)
	if err != nil {
		return nil, err
	}
	from, err := r.measuredOn(seen, held, rounding)
	if err != nil {
		return nil, err
	}
	path := r.path(SensitivityFile)
	table, err := sensitivity.LoadTable(path, from)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.logf("sensitivity: damages are measured anew: %v", err)
		}
		table = sensitivity.NewTable(from)
	}
	out := &Sensitivity{table, inventory}
	if done, total := table.Count(inventory.Parts); done == total {
		r.logf("sensitivity: %s is there", path)
		return out, nil
	}
	c, err := r.calibrator(us, seen, rounding)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return out, c.study(ctx, out, held)
}

// measuredOn is what damages depend on.
func (r *Run) measuredOn(seen calib.Origin, held data.List, rounding calib.Config) (sensitivity.Origin, error) {
	e := r.Experiment
	selection, err := hashOf(held)
	if err != nil {
		return sensitivity.Origin{}, err
	}
	settings, err := json.Marshal(struct {
		Calib          calib.Config `json:"calib"`
		Init           string       `json:"init"`
		IntegerForward bool         `json:"integer_forward"`
		Masters        string       `json:"masters"`
		DType          string       `json:"dtype"`
		TeacherDType   string       `json:"teacher_dtype"`
	}{rounding, e.Quant.Init.String(), e.Quant.IntegerForward, e.Quant.Masters, e.DType, e.Teacher.DType})
	return sensitivity.Origin{Model: seen.Model, Calibration: seen.Data, Selection: selection, Settings: string(settings)}, err
}
