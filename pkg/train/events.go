package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/track"
)

// interrupted saves the state after the last step.
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
