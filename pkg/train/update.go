package train

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/qakd/qakd/pkg/optim"
	"github.com/qakd/qakd/pkg/track"
)

// prepareOptimizer makes the optimizer, with the moments of the checkpoint at path if there is one.
func (r *run) prepareOptimizer(path string) error {
	cfg := r.Config.Optim
	cfg.Seed = r.Config.Seed
	var err error
	if r.opt, err = optim.New(optim.Groups(r.params, cfg), cfg); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if path == "" {
		return nil
	}
	return r.opt.Load(filepath.Join(path, OptimFile))
}

// update clips the accumulated gradient, applies it, clears it and says what to log. An update that the optimizer skips
// because the scaled loss overflowed counts as a step.
func (r *run) update() ([]track.Value, error) {
	cfg := r.Config.Optim
	factor := cfg.Factor(r.state.Step, r.Config.Steps)
	norm, err := r.opt.Step(factor)
	var skipped *optim.SkippedError
	if errors.As(err, &skipped) {
		return []track.Value{{Name: "skipped", V: 1}, {Name: "loss_scale", V: skipped.Factor}}, r.tracker.Note(fmt.Sprintf("step %d: %v", r.state.Step+1, err))
	}
	if err != nil {
		return nil, fmt.Errorf("train: step %d: %w", r.state.Step+1, err)
	}
	values := []track.Value{{Name: "grad_norm", V: norm}, {Name: "lr", V: cfg.LR * factor}}
	if cfg.LossScale != 0 {
		values = append(values, track.Value{Name: "loss_scale", V: r.opt.LossScale()})
	}
	if r.scales {
		values = append(values, track.Value{Name: "scale_lr", V: cfg.ScaleLR * factor})
	}
	return values, nil
}
