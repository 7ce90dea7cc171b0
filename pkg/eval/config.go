package eval

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/distill"
)

// Config of an evaluation.
type Config struct {
	Utterances int `toml:"utterances"` // held-out utterances that are read teacher-forced
	Batch      int `toml:"batch"`      // utterances of one forward pass
	FreeRun    int `toml:"free_run"`   // of them, texts that are spoken freely; 0 measures no durations
	FreeBatch  int `toml:"free_batch"` // utterances that are decoded together
	MaxFrames  int `toml:"max_frames"` // length at which free-running speech counts as endless
}

// DefaultConfig suits the demo.
func DefaultConfig() Config {
	return Config{Utterances: 512, Batch: 32, FreeRun: 128, FreeBatch: 64, MaxFrames: 128}
}

// Validate reports all violations.
func (c Config) Validate() error {
	var errs []error
	atLeast := func(key string, have, want int) {
		if have < want {
			errs = append(errs, fmt.Errorf("%s is %d, want at least %d", key, have, want))
		}
	}
	atLeast("utterances", c.Utterances, 1)
	atLeast("batch", c.Batch, 1)
	atLeast("free_run", c.FreeRun, 0)
	atLeast("free_batch", c.FreeBatch, 1)
	atLeast("max_frames", c.MaxFrames, 1)
	return errors.Join(errs...)
}

// Measure is the configuration of the teacher-forced part: the whole codec head, in chunks of rows.
func (c Config) Measure() distill.MeasureConfig {
	m := distill.DefaultMeasureConfig()
	m.Batch = c.Batch
	return m
}
