package qat

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/quant"
)

// Config says which projections are quantized, and how.
type Config struct {
	Weight     quant.WeightScheme     `toml:"weight"`
	Activation quant.ActivationScheme `toml:"activation"`
	// Include and Exclude are patterns on full paths; a layer is quantized if an include matches and no exclude does. An
	// include that matches nothing is an error, such an exclude is noted in the plan.
	Include []string `toml:"include"`
	Exclude []string `toml:"exclude"`
	// Overrides give layers that are quantized another scheme; the first that matches counts. One that matches no
	// quantized layer is an error.
	Overrides []Override `toml:"overrides"`
	// Embeddings quantizes embedding tables, weights only.
	Embeddings EmbeddingConfig `toml:"embeddings"`
	// Fallback allows another group size where the one asked for does not divide a width (quant.WeightScheme.Fit); the
	// plan records it. Without it, such a width is an error.
	Fallback bool `toml:"fallback"`
	// Init derives the first scales of symmetric weights; asymmetric ones always start from min_max.
	Init quant.ScaleMethod `toml:"init"`
	// LearnScales trains scales and zero points; otherwise they are frozen parameters.
	LearnScales bool `toml:"learn_scales"`
	// LSQGradient multiplies their gradients by 1/sqrt(n * qmax) (LSQ §2.2). Off, they are the plain sums.
	LSQGradient bool `toml:"lsq_gradient"`
	// Masters is the dtype of the weights that are trained, float32 or bfloat16. The latter take half the memory, as do
	// their gradients, and need an optimizer that makes up for their coarse spacing (optim.Weights).
	Masters string `toml:"masters"`
	// DualLSQ trains one scale that quantizes and another that dequantizes; only the second is stored (package quant, "Two
	// scales"). It needs learn_scales.
	DualLSQ bool `toml:"dual_lsq"`
	// IntegerForward multiplies int8 codes in the forward pass of layers whose input is quantized (package quant, "The
	// integer layer"): faster with VNNI instructions, and equal to the float products within rounding.
	IntegerForward bool `toml:"integer_forward"`
	// BF16Backward rounds the operands of the quantized layers' backward products to bfloat16: faster with AVX512-BF16 or
	// AMX, with gradients of 8 bits.
	BF16Backward bool `toml:"bf16_backward"`
}

func (c Config) mode() mode {
	return mode{c.LearnScales, c.LSQGradient, c.DualLSQ, quant.Products{Integer: c.IntegerForward, BF16Backward: c.BF16Backward}}
}

// masters are the dtypes that trained weights may have, by their names in files.
var masters = map[string]string{"float32": "F32", "bfloat16": "BF16"}

// Override is another scheme for the layers that Include matches; a nil part keeps the default's. A part that is there
// is whole: fields that are not named are zero, not the default's.
type Override struct {
	Include    []string                `toml:"include"`
	Weight     *quant.WeightScheme     `toml:"weight"`
	Activation *quant.ActivationScheme `toml:"activation"`
}

// DefaultConfig is W4A8: INT4 symmetric in groups of 32, INT8 dynamic activations, every projection, learned scales.
func DefaultConfig() Config {
	return Config{
		Weight:      quant.DefaultWeightScheme(),
		Activation:  quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken},
		Include:     []string{"**"},
		Embeddings:  EmbeddingConfig{Include: []string{"**"}},
		Fallback:    true,
		Init:        quant.SignedMax,
		LearnScales: true,
		Masters:     "float32",
	}
}

// Validate reports every violation.
func (c Config) Validate() error {
	errs := []error{c.Weight.Validate(), c.Activation.Validate(), patterns("include", c.Include), patterns("exclude", c.Exclude), c.Embeddings.validate()}
	if len(c.Include) == 0 {
		errs = append(errs, fmt.Errorf("qat: include is empty, want at least one pattern such as \"**\""))
	}
	if c.Init < quant.AbsMax || c.Init > quant.SignedMax {
		errs = append(errs, fmt.Errorf("qat: init %v, want absmax, absmax_half or signed_max", c.Init))
	}
	if c.Masters != "" && masters[c.Masters] == "" {
		errs = append(errs, fmt.Errorf("qat: masters %q, want float32 or bfloat16", c.Masters))
	}
	if c.DualLSQ && !c.LearnScales {
		errs = append(errs, errors.New("qat: dual_lsq without learn_scales: two scales that do not train are one"))
	}
	if c.IntegerForward && c.Activation.Mode == quant.ActivationNone {
		errs = append(errs, errors.New("qat: integer_forward with activation mode none, want dynamic_token or static_tensor"))
	}
	for i, o := range c.Overrides {
		at := fmt.Sprintf("overrides[%d]", i)
		if len(o.Include) == 0 || o.Weight == nil && o.Activation == nil {
			errs = append(errs, fmt.Errorf("qat: %s wants include and at least one of weight and activation", at))
		}
		errs = append(errs, patterns(at+".include", o.Include))
		if o.Weight != nil {
			errs = append(errs, within(at+".weight", o.Weight.Validate()))
		}
		if o.Activation != nil {
			errs = append(errs, within(at+".activation", o.Activation.Validate()))
		}
	}
	return errors.Join(errs...)
}

func patterns(key string, list []string) error {
	var errs []error
	for _, p := range list {
		if _, err := Match(p, ""); err != nil {
			errs = append(errs, within(key, err))
		}
	}
	return errors.Join(errs...)
}

func within(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

// schemes are those of the layer at path, as asked for. used collects the override patterns that matched.
func (c Config) schemes(path string, used map[string]bool) (w quant.WeightScheme, a quant.ActivationScheme) {
	w, a = c.Weight, c.Activation
	for _, o := range c.Overrides {
		if matchAny(o.Include, path, used) {
			if o.Weight != nil {
				w = *o.Weight
			}
			if o.Activation != nil {
				a = *o.Activation
			}
			break
		}
	}
	return w.Normal(), a.Normal()
}
