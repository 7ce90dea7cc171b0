package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/qakd/qakd/pkg/track"
)

// ErrInterrupted is the error of a run whose context was canceled: the step in progress was finished and saved. It wraps
// context.Canceled.
var ErrInterrupted = fmt.Errorf("train: interrupted, the state is saved: %w", context.Canceled)

// Loop is one training. Config, Objective and Data are required.
type Loop struct {
	Config    Config
	Objective Objective
	Data      data.Set
	// Dir receives the checkpoints. "" keeps none: the run then cannot be resumed, and the last parameters count.
	Dir string
	// Resume continues from the last complete checkpoint of Dir, or starts where there is none. Without it a Dir that
	// holds checkpoints is an error.
	Resume bool
	// Settings are further settings that must be equal on resume; those of Config are compared in any case.
	Settings Settings
	// Evaluate measures the module after a step, every Config.EvalEvery steps and after the last; recording is off.
	// The checkpoint with the lowest Value is kept in Dir/best. nil: the last parameters count.
	Evaluate func(ctx context.Context, step int) (Evaluation, error)
	// Tracker records every step: loss, the terms by name, grad_norm (before clipping), the learning rates, and after an
	// evaluation eval and its metrics as eval_NAME. Run starts and closes it. nil: nobody records.
	Tracker track.Tracker
}

// Evaluation is a held-out measurement.
type Evaluation struct {
	Value   float64       // chooses the checkpoint; lower is better
	Metrics []track.Value // logged beside it
}

// Result says how a run ended.
type Result struct {
	Step   int    // updates done, over all sessions of the run
	Frames int64  // trained on, over all sessions
	Last   string // folder of the last checkpoint; "" without Dir
	Best   *Best  // nil without Evaluate
}

// Run trains until Config.Steps updates are done or ctx is canceled, which gives ErrInterrupted after the step in
// progress is saved. Parameters record gradients while it runs. It locks its OS thread.
func (l *Loop) Run(ctx context.Context) (res Result, err error) {
	err = tensor.Run(func(*tensor.Scope) (err error) {
		r, err := l.prepare()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.tracker.Close(), r.finish()) }()
		if err := r.resume(); err != nil {
			return err
		}
		err = r.train(ctx)
		res = Result{Step: r.state.Step, Frames: r.state.Frames, Last: r.last, Best: r.state.Best}
		return err
	})
	return res, err
}

// run is a Loop at work.
type run struct {
	*Loop
	state   State
	last    string // folder of the last checkpoint
	sampler *data.Sampler
	params  []*nn.Param // trained ones
	scales  bool        // some of them are quantization scales
	opt     *optim.AdamW
	tracker track.Tracker
}

// prepare checks what can be checked before the first file is touched.
func (l *Loop) prepare() (*run, error) {
	if err := l.Config.Validate(); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	sampler, err := data.NewSampler(l.Data, l.Config.sampler())
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	settings := SettingsOf(l.Config)
	maps.Copy(settings, l.Settings)
	r := &run{Loop: l, sampler: sampler, tracker: l.Tracker, state: State{
		Format: 1, Seed: l.Config.Seed, Settings: settings, Hash: settings.Hash(),
	}}
	if r.tracker == nil {
		r.tracker = track.Multi()
	}
	return r, nil
}

// resume restores the newest checkpoint if there is one to continue, then sets up the optimizer and the tracker.
func (r *run) resume() error {
	path, saved, damage, err := r.find()
	if err != nil {
		return err
	}
	if path != "" {
		if err := sameSettings(path, r.state.Settings, saved); err != nil {
			return err
		}
		if _, err := Load(path, r.Objective.Module()); err != nil {
			return err
		}
		r.state.Step, r.state.Position, r.state.Frames, r.state.Best = saved.Step, saved.Position, saved.Frames, saved.Best
		r.last = path
	}
	if err := r.record(); err != nil {
		return err
	}
	if err := r.prepareOptimizer(path); err != nil {
		return err
	}
	if err := r.tracker.Start(int64(r.state.Step), int64(r.Config.Steps)); err != nil {
		return err
	}
	for _, d := range damage {
		if err := r.tracker.Note(fmt.Sprintf("passed over a damaged checkpoint: %v", d)); err != nil {
			return err
		}
	}
	return nil
}

// find looks for the checkpoint to continue from.
func (r *run) find() (path string, st State, damage []error, err error) {
	switch {
	case r.Dir == "":
		return "", State{}, nil, nil
	case r.Resume:
		return newest(r.Dir)
	}
	return "", State{}, nil, vacant(r.Dir)
}

// record lists the trained parameters and makes them record gradients.
func (r *run) record() error {
	for _, p := range nn.Params(r.Objective.Module()) {
		if p.Frozen {
			continue
		}
		if p.T == nil {
			return fmt.Errorf("train: parameter %q has no value", p.Name)
		}
		if err := tensor.RequireGrad(p.T, true); err != nil {
			return fmt.Errorf("train: parameter %q: %w", p.Name, err)
		}
		if err := tensor.ZeroGrad(p.T); err != nil {
			return fmt.Errorf("train: parameter %q: %w", p.Name, err)
		}
		r.params = append(r.params, p)
		r.scales = r.scales || p.Scale
	}
	if len(r.params) == 0 {
		return errors.New("train: the model has no trainable parameter")
	}
	return nil
}

// finish frees the optimizer and leaves the parameters without gradients.
func (r *run) finish() error {
	var errs []error
	if r.opt != nil {
		r.opt.Close()
	}
	for _, p := range r.params {
		errs = append(errs, tensor.ZeroGrad(p.T), tensor.RequireGrad(p.T, false))
	}
	return errors.Join(errs...)
}

func (r *run) train(ctx context.Context) error {
	for r.state.Step < r.Config.Steps {
		if ctx.Err() != nil {
			return r.interrupted()
		}
		// Randomness is a function of seed and step: there is no generator whose state a resume would need.
		if err := tensor.Seed(rng.Seed(r.Config.Seed, fmt.Sprintf("step %d", r.state.Step))); err != nil {
			return fmt.Errorf("train: step %d: %w", r.state.Step, err)
		}
		report, err := r.step()
		if err != nil {
			return err
		}
		if due(r.state.Step, r.Config.EvalEvery, r.Config.Steps) {
			// An evaluation belongs to its step: it is finished even when Ctrl-C came meanwhile.
			held, err := r.evaluate(context.WithoutCancel(ctx))
			if err != nil {
				return err
			}
			report.Values = append(report.Values, held...)
		}
		if err := r.tracker.Step(report); err != nil {
			return err
		}
		if due(r.state.Step, r.Config.CheckpointEvery, r.Config.Steps) {
			if err := r.checkpoint(); err != nil {
				return err
			}
		}
		if n := r.Config.TrimEvery; n > 0 && r.state.Step%n == 0 {
			tensor.Trim()
		}
	}
	return nil
}

// due tells whether something that is done every n steps, and after the last, is done now. n = 0: only after the last.
func due(step, n, last int) bool { return step == last || n > 0 && step%n == 0 }

func (r *run) interrupted() error {
	if r.Dir == "" {
		return fmt.Errorf("train: interrupted, nothing is saved without a folder: %w", context.Canceled)
	}
	if r.last != stepDir(r.Dir, r.state.Step) {
		if err := r.checkpoint(); err != nil {
			return errors.Join(ErrInterrupted, err)
		}
	}
	return ErrInterrupted
}

// evaluate measures the module, keeps it in best/ when it is the best so far, and returns what to log.
func (r *run) evaluate(ctx context.Context) ([]track.Value, error) {
	if r.Evaluate == nil {
		return nil, nil
	}
	var e Evaluation
	var err error
	tensor.NoGrad(func() { e, err = r.Evaluate(ctx, r.state.Step) })
	if err != nil {
		return nil, fmt.Errorf("train: evaluation after step %d: %w", r.state.Step, err)
	}
	if !finite(e.Value) {
		return nil, &NonFiniteError{Step: r.state.Step, What: "held-out value", Value: e.Value}
	}
	values := []track.Value{{Name: "eval", V: e.Value}}
	for _, m := range e.Metrics {
		values = append(values, track.Value{Name: "eval_" + m.Name, V: m.V})
	}
	if r.state.Best != nil && e.Value >= r.state.Best.Value {
		return values, nil
	}
	r.state.Best = &Best{Step: r.state.Step, Value: e.Value}
	if r.Dir == "" {
		return values, nil
	}
	return values, save(filepath.Join(r.Dir, BestDir), r.Objective.Module(), nil, r.state)
}

// checkpoint saves the state after the last step and removes checkpoints that are too old to keep.
func (r *run) checkpoint() error {
	if r.Dir == "" {
		return nil
	}
	path := stepDir(r.Dir, r.state.Step)
	if err := save(path, r.Objective.Module(), r.opt, r.state); err != nil {
		return err
	}
	r.last = path
	return prune(r.Dir, r.Config.KeepCheckpoints)
}
