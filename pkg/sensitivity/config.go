package sensitivity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/calib"
)

// Config says which forms of layers and tables are tried, and how they are measured.
type Config struct {
	Bits        []int   `toml:"bits"`         // of layers: 4 and 8 (which no native decoder knows yet); 16 stays float
	Groups      []int64 `toml:"groups"`       // inputs of a layer that share a scale: 32, 64 or 128; 0 for all of a row
	TableBits   []int   `toml:"table_bits"`   // the same of embedding tables
	TableGroups []int64 `toml:"table_groups"` //
	// Method rounds the layers: one of Methods, whose parameters are those of the calibration; "" for the calibration's own
	// method.
	Method     string `toml:"method"`
	Utterances int    `toml:"utterances"` // the first of the selection data
}

// DefaultConfig tries everything that is usual.
func DefaultConfig() Config {
	return Config{
		Bits: []int{4, 8, 16}, Groups: []int64{32, 128}, TableBits: []int{4, 8, 16}, TableGroups: []int64{0, 32}, Utterances: 64,
	}
}

// Validate reports all violations.
func (c Config) Validate() error {
	errs := []error{
		among("bits", c.Bits, 4, 8, 16), among("groups", c.Groups, 0, 32, 64, 128),
		among("table_bits", c.TableBits, 4, 8, 16), among("table_groups", c.TableGroups, 0, 32, 64, 128),
	}
	if c.Method != "" && !slices.Contains(Methods(), c.Method) {
		errs = append(errs, fmt.Errorf("method is %q, want one that rounds each layer by itself, without folds and rotations (%s), or nothing for the calibration's own",
			c.Method, strings.Join(Methods(), ", ")))
	}
	if c.Utterances < 1 {
		errs = append(errs, fmt.Errorf("utterances is %d, want at least 1", c.Utterances))
	}
	return errors.Join(errs...)
}

func among[N int | int64](key string, have []N, want ...N) error {
	if len(have) == 0 {
		return fmt.Errorf("%s is empty, want some of %v", key, want)
	}
	for i, v := range have {
		if !slices.Contains(want, v) || slices.Contains(have[:i], v) {
			return fmt.Errorf("%s is %v, want some of %v, each once", key, have, want)
		}
	}
	return nil
}

// Methods are the presets of package calib that round layers and do nothing else. Folds move scales between layers, so no single
// one has the damage; rotations are the model's, and Config.Rounding takes those of the calibration.
func Methods() (out []string) {
	for _, name := range calib.Presets() {
		cfg, err := calib.Preset(calib.DefaultConfig(), name)
		if err == nil && cfg.Fold == calib.FoldNone && cfg.Rotation == calib.RotateNone {
			out = append(out, name)
		}
	}
	return out
}

// Rounding is how layers are rounded: cfg with the method, in the rotated model if cfg rotates, and without folds.
func (c Config) Rounding(cfg calib.Config) (calib.Config, error) {
	rounding := cfg
	if c.Method != "" {
		var err error
		if rounding, err = calib.Preset(cfg, c.Method); err != nil {
			return rounding, err
		}
	}
	rounding.Fold, rounding.Rotation = calib.FoldNone, cfg.Rotation
	return rounding, nil
}
