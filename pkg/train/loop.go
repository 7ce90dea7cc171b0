package train

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

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
	// EpochEnd is called after each step that ends a pass over the data, the first pass with 0; recording is off. It comes
	// before the step's checkpoint: a run that is interrupted between them calls it again. It needs Config.Accumulate,
	// without which steps do not end where passes do.
	EpochEnd func(epoch int) error
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
		if err := r.endEpoch(); err != nil {
			return err
		}
		if n := r.Config.TrimEvery; n > 0 && r.state.Step%n == 0 {
			debug.FreeOSMemory() // Go's share: without it the reading depends on when the collector ran last
			tensor.Trim()
			report.Values = append(report.Values, anonymous()...)
		}
		if err := r.tracker.Step(report); err != nil {
			return err
		}
		if due(r.state.Step, r.Config.CheckpointEvery, r.Config.Steps) {
			if err := r.checkpoint(); err != nil {
				return err
			}
		}
	}
	return nil
}

// endEpoch calls EpochEnd when the last step was a pass's last.
func (r *run) endEpoch() (err error) {
	n := r.sampler.PerEpoch()
	if r.EpochEnd == nil || r.state.Position%n != 0 {
		return nil
	}
	epoch := r.state.Position/n - 1
	tensor.NoGrad(func() { err = r.EpochEnd(epoch) })
	if err != nil {
		return fmt.Errorf("train: end of epoch %d: %w", epoch, err)
	}
	return nil
}

// due tells whether something that is done every n steps, and after the last, is done now. n = 0: only after the last.
func due(step, n, last int) bool { return step == last || n > 0 && step%n == 0 }
