package calib_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/quant"
)

func TestConfigTOML(t *testing.T) {
	cfg := calib.DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	_, err := toml.Decode("observer = \"moving_average\"\nweight_method = \"signed_max\"\nweighting = \"none\"\ngrid_points = 20", &cfg)
	want := calib.DefaultConfig()
	want.Observer, want.WeightMethod, want.Weighting, want.GridPoints = calib.ObserveMovingAverage, calib.SignedMax, calib.WeightNone, 20
	if err != nil || cfg != want {
		t.Errorf("read %+v, want %+v (%v)", cfg, want, err)
	}
	for text, message := range map[string]string{
		`observer = "max"`:          `observer "max", want one of min_max, moving_average, percentile, mse`,
		`weight_method = "absmax7"`: `weight_method "absmax7", want one of absmax, absmax_half, signed_max, mse`,
		`weighting = ""`:            `weighting "", want one of none, second_moment`,
	} {
		if _, err := toml.Decode(text, &cfg); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: error %v, want %q in it", text, err, message)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for message, spoil := range map[string]func(*calib.Config){
		"utterances 0":         func(c *calib.Config) { c.Utterances = 0 },
		"min_tokens -1":        func(c *calib.Config) { c.MinTokens = -1 },
		`observer "x"`:         func(c *calib.Config) { c.Observer = "x" },
		"percentile 0,":        func(c *calib.Config) { c.Percentile = 0 },
		"percentile 100.1":     func(c *calib.Config) { c.Percentile = 100.1 },
		"averaging_constant 2": func(c *calib.Config) { c.AveragingConstant = 2 },
		`weight_method ""`:     func(c *calib.Config) { c.WeightMethod = "" },
		`weighting "x"`:        func(c *calib.Config) { c.Weighting = "x" },
		"grid_points 1,":       func(c *calib.Config) { c.GridPoints = 1 },
		"grid_min 2":           func(c *calib.Config) { c.GridMin = 2 },
		"grid_max 5":           func(c *calib.Config) { c.GridMax = 5 },
		`rotation "x"`:         func(c *calib.Config) { c.Rotation = "x" },
		"rotation_seed is 0":   func(c *calib.Config) { c.RotationSeed = 0 },
		`fold "x"`:             func(c *calib.Config) { c.Fold = "x" },
		"fold_points 1,":       func(c *calib.Config) { c.FoldPoints = 1 },
		"fold_rows -1":         func(c *calib.Config) { c.FoldRows = -1 },
		"fold_alpha 1.5":       func(c *calib.Config) { c.FoldAlpha = 1.5 },
		"hqq.p 2":              func(c *calib.Config) { c.HQQ.P = 2 },
		"hqq.beta 0":           func(c *calib.Config) { c.HQQ.Beta = 0 },
		"hqq.growth 0.5":       func(c *calib.Config) { c.HQQ.Growth = 0.5 },
		"hqq.rounds 0":         func(c *calib.Config) { c.HQQ.Rounds = 0 },
		"hqq.least 2":          func(c *calib.Config) { c.HQQ.Least = 2 },
		"gptq.damp 0":          func(c *calib.Config) { c.GPTQ.Damp = 0 },
		"gptq.block 0":         func(c *calib.Config) { c.GPTQ.Block = 0 },
		`gptq.scales "gptq"`:   func(c *calib.Config) { c.GPTQ.Scales = calib.RoundGPTQ },
		"autoround.steps 0":    func(c *calib.Config) { c.AutoRound.Steps = 0 },
		"autoround.rate -1":    func(c *calib.Config) { c.AutoRound.Rate = -1 },
		"autoround.range 1":    func(c *calib.Config) { c.AutoRound.Range = 1 },
	} {
		c := calib.DefaultConfig()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), message) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want only %q", err, message)
		}
	}
	if err := (calib.Config{}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 21 {
		t.Errorf("error %v, want all violations", err)
	}
}

// What a method cannot fit is told before anything is fitted.
func TestSuits(t *testing.T) {
	cfg := calib.DefaultConfig()
	group, tensor := quant.DefaultWeightScheme(), quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerTensor}
	if err := errors.Join(cfg.Suits(group), cfg.Suits(tensor)); err != nil {
		t.Error(err)
	}
	for want, c := range map[string]struct {
		change func(c *calib.Config)
		scheme quant.WeightScheme
	}{
		"hqq with scheme":    {func(c *calib.Config) { c.WeightMethod = calib.FitHQQ }, group},
		"want an asymmetric": {func(c *calib.Config) { c.WeightMethod, c.GPTQ.Scales = calib.RoundGPTQ, calib.FitHQQ }, group},
		"hqq with weighting gram": {func(c *calib.Config) {
			c.WeightMethod, c.Weighting = calib.FitHQQ, calib.WeightGram
		}, quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: 32}},
		"weighting gram with":   {func(c *calib.Config) { c.Weighting = calib.WeightGram }, tensor},
		"autoround with scheme": {func(c *calib.Config) { c.WeightMethod = calib.RoundAuto }, tensor},
	} {
		cfg := calib.DefaultConfig()
		c.change(&cfg)
		if err := cfg.Suits(c.scheme); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
