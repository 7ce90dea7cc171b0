package optim

import (
	"errors"
	"fmt"
	"math"
)

// Config of the optimizer.
type Config struct {
	LR          float64 `toml:"lr"`           // peak rate of weights; > 0
	ScaleLR     float64 `toml:"scale_lr"`     // peak rate of learned quantization scales; 0 freezes them
	Beta1       float64 `toml:"beta1"`        // decay of the mean of gradients, in [0, 1)
	Beta2       float64 `toml:"beta2"`        // decay of the mean of squared gradients, in [0, 1)
	Eps         float64 `toml:"eps"`          // added to the root of the latter; > 0
	WeightDecay float64 `toml:"weight_decay"` // λ of weight matrices; scales have none
	DecayAll    bool    `toml:"decay_all"`    // λ of norms and biases too, as where one group holds all parameters
	ClipNorm    float64 `toml:"clip_norm"`    // largest norm of all gradients together; 0 does not clip
	// StateBits are the bits of each mean of a parameter: 32, or 8, as codes in blocks of 256; see package comment.
	StateBits int `toml:"state_bits"`
	// Weights says how weights in half precision keep changes below their own spacing; float32 weights need nothing.
	Weights Weights `toml:"weights"`
	// LossScale is the first factor of the loss, a power of two, adapted while training: gradients in f16 underflow
	// without one. 0: none.
	LossScale float64 `toml:"loss_scale"`
	Schedule

	Seed int64 `toml:"-"` // of stochastic rounding; a run has one for all its parts
}

// Weights names what makes up for the coarse spacing of weights in half precision.
type Weights string

// The ways. Masters take 4 bytes more for each weight.
const (
	Masters    Weights = "masters"    // a float32 copy is updated, and rounded into the weight
	Stochastic Weights = "stochastic" // bf16 weights are rounded up or down by chance, so that the mean is exact
)

// UnmarshalText accepts the words above.
func (w *Weights) UnmarshalText(b []byte) error {
	if v := Weights(b); v != Masters && v != Stochastic {
		return fmt.Errorf("optim: weights %q, want %s or %s", b, Masters, Stochastic)
	}
	*w = Weights(b)
	return nil
}

// DefaultConfig suits distillation of a small model from a trained start.
func DefaultConfig() Config {
	return Config{
		LR: 1e-3, ScaleLR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0, ClipNorm: 1,
		StateBits: 32, Weights: Masters,
		Schedule: Schedule{WarmupSteps: 10, MinLRRatio: 0.1},
	}
}

// Validate lists every value out of range.
func (c Config) Validate() error {
	var errs []error
	want := func(ok bool, key string, v any, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("optim: %s is %v, want %s", key, v, what))
		}
	}
	within := func(v, lo, hi float64) bool { return v >= lo && v < hi } // false for NaN
	inf := math.Inf(1)
	want(within(c.LR, math.SmallestNonzeroFloat64, inf), "lr", c.LR, "a number > 0")
	want(within(c.ScaleLR, 0, inf), "scale_lr", c.ScaleLR, "a number >= 0")
	want(within(c.Beta1, 0, 1), "beta1", c.Beta1, "a number in [0, 1)")
	want(within(c.Beta2, 0, 1), "beta2", c.Beta2, "a number in [0, 1)")
	want(within(c.Eps, math.SmallestNonzeroFloat64, inf), "eps", c.Eps, "a number > 0")
	want(within(c.WeightDecay, 0, inf), "weight_decay", c.WeightDecay, "a number >= 0")
	want(within(c.ClipNorm, 0, inf), "clip_norm", c.ClipNorm, "a number >= 0 (0 does not clip)")
	want(c.StateBits == 32 || c.StateBits == 8, "state_bits", c.StateBits, "32 or 8")
	want(c.Weights == Masters || c.Weights == Stochastic, "weights", fmt.Sprintf("%q", c.Weights), "masters or stochastic")
	power, _ := math.Frexp(c.LossScale)
	want(c.LossScale == 0 || power == 0.5 && within(c.LossScale, 1, 0x1p64), "loss_scale", c.LossScale, "0 or a power of two in [1, 2^63]")
	want(c.WarmupSteps >= 0, "warmup_steps", c.WarmupSteps, "a number >= 0")
	want(c.MinLRRatio >= 0 && c.MinLRRatio <= 1, "min_lr_ratio", c.MinLRRatio, "a number in [0, 1]")
	return errors.Join(errs...)
}
