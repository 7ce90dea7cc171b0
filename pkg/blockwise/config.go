package blockwise

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/optim"
)

// Config of block-wise training.
type Config struct {
	Epochs int          `toml:"epochs"` // passes over the calibration data for each block; 0: no such training
	Batch  int          `toml:"batch"`  // utterances of one update
	Optim  optim.Config `toml:"optim"`
}

// DefaultConfig is off. Its rates are those of the paper's INT4 runs (its appendix), for billions of weights: small models bear
// larger ones.
func DefaultConfig() Config {
	c := Config{Batch: 2, Optim: optim.DefaultConfig()}
	c.Optim.LR, c.Optim.ScaleLR, c.Optim.ClipNorm = 1e-5, 1e-4, 0
	c.Optim.Schedule = optim.Schedule{MinLRRatio: 0.05}
	return c
}

// Validate reports every field out of its range.
func (c Config) Validate() error {
	var errs []error
	if c.Epochs < 0 {
		errs = append(errs, fmt.Errorf("blockwise: epochs %d, want 0 (none) or more", c.Epochs))
	}
	if c.Batch < 1 {
		errs = append(errs, fmt.Errorf("blockwise: batch %d, want at least 1", c.Batch))
	}
	if c.Optim.LossScale != 0 {
		errs = append(errs, fmt.Errorf("blockwise: optim.loss_scale %v, want 0: blocks train in float32 or bf16", c.Optim.LossScale))
	}
	return errors.Join(append(errs, c.Optim.Validate())...)
}
