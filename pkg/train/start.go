package train

import (
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/track"
)

// prepare checks what can be checked before the first file is touched.
func (l *Loop) prepare() (*run, error) {
	if err := l.Config.Validate(); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if l.EpochEnd != nil && l.Config.Accumulate == 0 {
		return nil, errors.New("train: EpochEnd is set and accumulate is 0, want at least 1: steps must end where epochs do")
	}
	sampler, err := l.Config.Sampler(l.Data)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	settings := SettingsOf(l.Config)
	settings["seed"] = strconv.FormatInt(l.Config.Seed, 10)
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
