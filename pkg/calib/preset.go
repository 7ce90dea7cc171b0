package calib

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// presets are the methods of the literature as configurations, by the names that a comparison knows them by.
var presets = map[string]func(*Config){
	"rtn":         func(c *Config) { c.WeightMethod = AbsMaxHalf },
	"rtn-absmax":  func(c *Config) { c.WeightMethod = AbsMax },
	"rtn-full":    func(c *Config) { c.WeightMethod = SignedMax },
	"mse":         func(c *Config) { c.WeightMethod, c.Weighting = SearchMSE, WeightNone },
	"imatrix":     func(c *Config) { c.WeightMethod, c.Weighting = SearchMSE, WeightSecondMoment },
	"clip":        func(c *Config) { c.WeightMethod, c.Weighting = SearchMSE, WeightGram },
	"hqq":         func(c *Config) { c.WeightMethod, c.Weighting = FitHQQ, WeightNone },
	"hqq-imatrix": func(c *Config) { c.WeightMethod, c.Weighting = FitHQQ, WeightSecondMoment },
	"gptq":        func(c *Config) { c.WeightMethod, c.Weighting, c.GPTQ.Scales = RoundGPTQ, WeightSecondMoment, SearchMSE },
	"autoround":   func(c *Config) { c.WeightMethod = RoundAuto },
	"awq":         func(c *Config) { c.Fold, c.WeightMethod, c.Weighting = FoldAWQ, SearchMSE, WeightGram },
	"awq-scale":   func(c *Config) { c.Fold, c.WeightMethod = FoldAWQ, AbsMaxHalf },
	"smoothquant": func(c *Config) { c.Fold, c.WeightMethod = FoldSmoothQuant, AbsMaxHalf },
	"rotate":      func(c *Config) { c.Rotation, c.WeightMethod = RotateHadamard, AbsMaxHalf },
	"rotate-gptq": func(c *Config) {
		c.Rotation, c.WeightMethod, c.Weighting, c.GPTQ.Scales = RotateHadamard, RoundGPTQ, WeightSecondMoment, SearchMSE
	},
	"awq-gptq": func(c *Config) {
		c.Fold, c.WeightMethod, c.Weighting, c.GPTQ.Scales = FoldAWQ, RoundGPTQ, WeightSecondMoment, SearchMSE
	},
	"smoothquant-gptq": func(c *Config) {
		c.Fold, c.WeightMethod, c.Weighting, c.GPTQ.Scales = FoldSmoothQuant, RoundGPTQ, WeightSecondMoment, SearchMSE
	},
}

// Presets are the names that Preset knows.
func Presets() []string { return slices.Sorted(maps.Keys(presets)) }

// Preset is cfg with the method of that name: rotation, folds, weight method and weighting; the parameters of the methods
// stay. After a slash, the name may have the observer of static activations, as in gptq/entropy. An unknown name is an error
// that lists those that there are.
func Preset(cfg Config, name string) (Config, error) {
	name, observer, told := strings.Cut(name, "/")
	if told {
		if err := cfg.Observer.UnmarshalText([]byte(observer)); err != nil {
			return cfg, err
		}
	}
	set, ok := presets[name]
	if !ok {
		return cfg, fmt.Errorf("calib: method %q, want one of %s", name, strings.Join(Presets(), ", "))
	}
	cfg.Rotation, cfg.Fold, cfg.Weighting = RotateNone, FoldNone, WeightNone
	set(&cfg)
	return cfg, nil
}
