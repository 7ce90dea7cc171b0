package train

import (
	"errors"
	"fmt"
	"io"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/qakd/qakd/pkg/track"
)

// Config of a training.
type Config struct {
	Steps int `toml:"steps"` // updates
	// TokensPerStep is the number of audio frames of one update: micro-batches are taken until it is reached. 0: one
	// micro-batch per update.
	TokensPerStep int `toml:"tokens_per_step"`
	// Accumulate is the number of micro-batches of one update, fewer at the end of a pass over the data: an update never
	// holds utterances of two passes. 0: as many as TokensPerStep says.
	Accumulate int `toml:"accumulate"`
	// MicroBatch is the number of utterances per forward pass. Small ones keep activations in the processor's cache: on a
	// CPU, 8 short utterances at a time take two thirds of the time of 32, and a quarter of the memory.
	MicroBatch int `toml:"micro_batch"`
	// SortWindow is the number of micro-batches whose utterances are sorted by length before they are cut into batches:
	// less padding. 0: no sorting.
	SortWindow int `toml:"sort_window"`

	// GradientCheckpointing keeps no activations of decoder blocks but computes them again in the backward pass: the same
	// gradients to the bit, for about a third more time and the memory of one block instead of all.
	GradientCheckpointing bool `toml:"gradient_checkpointing"`

	CheckpointEvery int `toml:"checkpoint_every"` // steps; 0: only the last
	KeepCheckpoints int `toml:"keep_checkpoints"` // newest ones that stay
	EvalEvery       int `toml:"eval_every"`       // steps between held-out evaluations; 0: only the last
	LogEvery        int `toml:"log_every"`        // steps between lines of plain progress
	TrimEvery       int `toml:"trim_every"`       // steps between returning freed memory to the system; 0: never

	Seed  int64        `toml:"-"` // of the data order and of all randomness in a step; a run has one for all its parts
	Optim optim.Config `toml:"optim"`
}

// DefaultConfig is a short training of a small model on a CPU.
func DefaultConfig() Config {
	return Config{
		Steps: 1000, TokensPerStep: 640, MicroBatch: 8, SortWindow: 16,
		CheckpointEvery: 100, KeepCheckpoints: 2, EvalEvery: 100, LogEvery: 10, TrimEvery: 50,
		Seed: 1, Optim: optim.DefaultConfig(),
	}
}

// Validate reports all violations.
func (c Config) Validate() error {
	var errs []error
	atLeast := func(key string, have, want int) {
		if have < want {
			errs = append(errs, fmt.Errorf("%s is %d, want at least %d", key, have, want))
		}
	}
	atLeast("steps", c.Steps, 1)
	atLeast("tokens_per_step", c.TokensPerStep, 0)
	atLeast("accumulate", c.Accumulate, 0)
	if c.Accumulate > 0 && c.TokensPerStep > 0 {
		errs = append(errs, fmt.Errorf("accumulate is %d and tokens_per_step %d, want one of them to be 0", c.Accumulate, c.TokensPerStep))
	}
	atLeast("micro_batch", c.MicroBatch, 1)
	atLeast("sort_window", c.SortWindow, 0)
	atLeast("checkpoint_every", c.CheckpointEvery, 0)
	atLeast("keep_checkpoints", c.KeepCheckpoints, 1)
	atLeast("eval_every", c.EvalEvery, 0)
	atLeast("log_every", c.LogEvery, 1)
	atLeast("trim_every", c.TrimEvery, 0)
	return errors.Join(errors.Join(errs...), c.Optim.Validate()) // which says "optim:" itself
}

// Tracker records a run in the file metrics (see track.JSONL) and shows it on w under name.
func (c Config) Tracker(metrics string, w io.Writer, name string) track.Tracker {
	return track.Multi(track.NewJSONL(metrics), track.NewProgress(w, name, int64(c.LogEvery)))
}

// Sampler cuts set into the micro-batches that a Loop takes, in its order.
func (c Config) Sampler(set data.Set) (*data.Sampler, error) {
	return data.NewSampler(set, data.SamplerConfig{
		BatchSize: c.MicroBatch, Shuffle: true, Window: c.SortWindow, Seed: uint64(rng.Seed(c.Seed, "data")),
	})
}
