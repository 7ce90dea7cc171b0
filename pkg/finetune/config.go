package finetune

import (
	"errors"
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/optim"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
)

// Config of a fine-tuning.
type Config struct {
	Data       string `toml:"data"`       // JSONL of the speaker's utterances
	Validation string `toml:"validation"` // JSONL of others, measured after every epoch; "" for none
	Root       string `toml:"root"`       // folder that relative paths of audio start from; "" for the working folder
	Speaker    string `toml:"speaker"`    // name that the checkpoint will know the speaker by, in lower case
	// Slot is the row of the codec embedding that becomes the speaker's: one that nothing else uses, beyond the codes.
	Slot int `toml:"slot"`

	Epochs     int `toml:"epochs"`
	Batch      int `toml:"batch"`      // utterances per forward pass
	Accumulate int `toml:"accumulate"` // forward passes per update

	// Objective pairs hidden states with targets. All but aligned teach what decoding does not do: they are for
	// comparison, and need Compare.
	Objective talker.Objective `toml:"objective"`
	Compare   bool             `toml:"compare"`

	// GradientCheckpointing computes activations again in the backward pass (train.Config).
	GradientCheckpointing bool `toml:"gradient_checkpointing"`

	// CheckpointEvery is the number of updates between states to resume from, of which one is kept. 0: the end of each
	// epoch.
	CheckpointEvery int          `toml:"checkpoint_every"`
	LogEvery        int          `toml:"log_every"` // updates between lines of plain progress
	Optim           optim.Config `toml:"optim"`
}

// DefaultConfig has the reference's settings: AdamW with a constant rate of 2e-5 and a decay of 0.01 on everything, eight
// utterances per update, three epochs.
func DefaultConfig() Config {
	return Config{
		Slot: 3000, Epochs: 3, Batch: 2, Accumulate: 4, Objective: talker.Aligned, LogEvery: 10,
		Optim: optim.Config{
			LR: 2e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, DecayAll: true, ClipNorm: 1,
			StateBits: 32, Weights: optim.Masters, Schedule: optim.Schedule{MinLRRatio: 1},
		},
	}
}

// Validate reports all violations.
func (c Config) Validate() error {
	var errs []error
	want := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("finetune: %s is %#v, want %s", key, value, want))
		}
	}
	want(c.Data != "", "data", c.Data, "a JSONL file of the speaker's utterances")
	want(c.Speaker != "" && strings.TrimSpace(c.Speaker) == c.Speaker, "speaker", c.Speaker, "a name")
	want(strings.ToLower(c.Speaker) == c.Speaker, "speaker", c.Speaker,
		fmt.Sprintf("%q: names are looked up in lower case", strings.ToLower(c.Speaker)))
	want(c.Slot >= 0, "slot", c.Slot, "a row of the codec embedding")
	want(c.Epochs >= 1, "epochs", c.Epochs, "at least 1")
	want(c.Batch >= 1, "batch", c.Batch, "at least 1")
	want(c.Accumulate >= 1, "accumulate", c.Accumulate, "at least 1")
	want(c.CheckpointEvery >= 0, "checkpoint_every", c.CheckpointEvery, "0 (at the ends of epochs) or more")
	want(c.LogEvery >= 1, "log_every", c.LogEvery, "at least 1")
	if err := c.Objective.Trainable(); err != nil {
		if _, unknown := talker.ParseObjective(string(c.Objective)); unknown != nil || !c.Compare {
			errs = append(errs, fmt.Errorf("finetune: %w (compare = true trains with it all the same)", err))
		}
	}
	return errors.Join(errors.Join(errs...), c.Optim.Validate())
}

// updates of one pass over n utterances.
func (c Config) updates(n int) int {
	return ceil(ceil(n, c.Batch), c.Accumulate)
}

func ceil(n, by int) int { return (n + by - 1) / by }

// loop is the training loop's configuration for n utterances.
func (c Config) loop(n int, seed int64) train.Config {
	t := train.DefaultConfig()
	perEpoch := c.updates(n)
	t.Steps, t.MicroBatch, t.Accumulate, t.TokensPerStep, t.SortWindow = c.Epochs*perEpoch, c.Batch, c.Accumulate, 0, 0
	t.EvalEvery, t.CheckpointEvery, t.KeepCheckpoints = perEpoch, perEpoch, 1
	if c.CheckpointEvery > 0 {
		t.CheckpointEvery = c.CheckpointEvery
	}
	t.GradientCheckpointing = c.GradientCheckpointing
	t.LogEvery, t.TrimEvery, t.Seed, t.Optim = c.LogEvery, 10, seed, c.Optim
	return t
}
