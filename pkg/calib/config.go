package calib

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/quant"
)

// ObserverKind names the rule that turns observed activations into one static scale.
type ObserverKind string

// The observers.
const (
	ObserveMinMax        ObserverKind = "min_max"        // the largest magnitude seen
	ObserveMovingAverage ObserverKind = "moving_average" // of the range of each batch
	ObservePercentile    ObserverKind = "percentile"     // of |x|, from the histogram
	ObserveMSE           ObserverKind = "mse"            // the clip range with the least squared error on the histogram
	ObserveEntropy       ObserverKind = "entropy"        // the clip range with the least KL divergence of the histogram's codes
)

// UnmarshalText accepts the words above; another is an error that lists them.
func (k *ObserverKind) UnmarshalText(b []byte) error { return choose("observer", k, b, observerKinds) }

var observerKinds = []ObserverKind{ObserveMinMax, ObserveMovingAverage, ObservePercentile, ObserveMSE, ObserveEntropy}

// WeightMethod names the rule for weight scales.
type WeightMethod string

// The methods. Asymmetric schemes have one fixed rule, the range over qmax - qmin, in the place of the first three. The last
// two give codes too, which are not those of rounding to nearest.
const (
	AbsMax     WeightMethod = "absmax"      // absmax/7 (127 for 8 bits)
	AbsMaxHalf WeightMethod = "absmax_half" // absmax/7.5
	SignedMax  WeightMethod = "signed_max"  // absmax/8 where the value of largest magnitude is negative, else absmax/7
	SearchMSE  WeightMethod = "mse"         // least (weighted) squared error over a grid of clip ranges
	FitHQQ     WeightMethod = "hqq"         // half-quadratic, of asymmetric schemes; the paper's with weighting none
	RoundGPTQ  WeightMethod = "gptq"        // errors moved to columns that are not rounded yet, on scales by another method
	RoundAuto  WeightMethod = "autoround"   // signed gradients on rounding offsets and clip ranges
)

// UnmarshalText accepts the words above; another is an error that lists them.
func (m *WeightMethod) UnmarshalText(b []byte) error {
	return choose("weight_method", m, b, weightMethods)
}

var weightMethods = []WeightMethod{AbsMax, AbsMaxHalf, SignedMax, SearchMSE, FitHQQ, RoundGPTQ, RoundAuto}

// scaleMethods are those that GPTQ can take its scales from.
var scaleMethods = []WeightMethod{AbsMax, AbsMaxHalf, SignedMax, SearchMSE, FitHQQ}

// fixed tells whether the method is a rule.
func (m WeightMethod) fixed() bool { return m == AbsMax || m == AbsMaxHalf || m == SignedMax }

// fixedRule is the rule of package quant for a method that is one.
func (m WeightMethod) fixedRule(sch quant.WeightScheme) quant.ScaleMethod {
	switch {
	case !sch.Symmetric:
		return quant.MinMax
	case m == AbsMaxHalf:
		return quant.AbsMaxHalf
	case m == SignedMax:
		return quant.SignedMax
	}
	return quant.AbsMax
}

// Weighting says how much the error of each weight counts in the search.
type Weighting string

// The weightings.
const (
	WeightNone         Weighting = "none"          // every weight alike
	WeightSecondMoment Weighting = "second_moment" // by the mean square of the channel that it multiplies (importance matrix)
	WeightGram         Weighting = "gram"          // with those of its group, by how their channels go together (AWQ's clip search)
)

// UnmarshalText accepts the words above; another is an error that lists them.
func (w *Weighting) UnmarshalText(b []byte) error { return choose("weighting", w, b, weightings) }

var weightings = []Weighting{WeightNone, WeightSecondMoment, WeightGram}

// FoldMethod names the rule for scales of channels that move between a layer and what comes before it.
type FoldMethod string

// The rules.
const (
	FoldNone        FoldMethod = "none"
	FoldAWQ         FoldMethod = "awq"         // mean |x|^a, a with the least output error
	FoldSmoothQuant FoldMethod = "smoothquant" // max |x|^a / max |w|^(1-a), a given
)

// UnmarshalText accepts the words above; another is an error that lists them.
func (m *FoldMethod) UnmarshalText(b []byte) error { return choose("fold", m, b, foldMethods) }

var foldMethods = []FoldMethod{FoldNone, FoldAWQ, FoldSmoothQuant}

func choose[E ~string](key string, to *E, b []byte, words []E) error {
	if !slices.Contains(words, E(b)) {
		return fmt.Errorf("calib: %s %q, want one of %s", key, b, list(words))
	}
	*to = E(b)
	return nil
}

func list[E ~string](words []E) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

// Config of the calibration.
type Config struct {
	Utterances int   `toml:"utterances" json:"utterances"` // how many the caller feeds to Collect
	MinTokens  int64 `toml:"min_tokens" json:"min_tokens"` // every targeted layer must have seen as many rows

	Observer          ObserverKind `toml:"observer" json:"observer"`                     // for static activation scales
	Percentile        float64      `toml:"percentile" json:"percentile"`                 // of |x|, in percent; also the report's column
	AveragingConstant float64      `toml:"averaging_constant" json:"averaging_constant"` // share of the newest batch in the moving average

	WeightMethod WeightMethod `toml:"weight_method" json:"weight_method"`
	Weighting    Weighting    `toml:"weighting" json:"weighting"`     // of the search and of hqq
	GridPoints   int          `toml:"grid_points" json:"grid_points"` // clip ranges that the search tries
	GridMin      float64      `toml:"grid_min" json:"grid_min"`       // smallest and largest clip range, as a share of
	GridMax      float64      `toml:"grid_max" json:"grid_max"`       // the one that clips nothing (absmax/qmax)

	Rotation     RotationKind `toml:"rotation" json:"rotation,omitempty"`           // of activations, before all else
	RotationSeed int64        `toml:"rotation_seed" json:"rotation_seed,omitempty"` // of the signs of the merged ones

	Fold       FoldMethod `toml:"fold" json:"fold"`
	FoldPoints int        `toml:"fold_points" json:"fold_points"` // exponents 0, 1/n, … that awq tries
	FoldRows   int        `toml:"fold_rows" json:"fold_rows"`     // rows of each weight that it tries them on; 0: all
	FoldAlpha  float64    `toml:"fold_alpha" json:"fold_alpha"`   // the exponent of smoothquant

	HQQ       HQQ       `toml:"hqq" json:"hqq"`
	GPTQ      GPTQ      `toml:"gptq" json:"gptq"`
	AutoRound AutoRound `toml:"autoround" json:"autoround"`
}

// HQQ are the parameters of half-quadratic fitting, for weights of size 1.
type HQQ struct {
	P      float64 `toml:"p" json:"p"`           // of the norm, 0 < p <= 1
	Beta   float64 `toml:"beta" json:"beta"`     // at the first round
	Growth float64 `toml:"growth" json:"growth"` // of beta, from round to round
	Rounds int     `toml:"rounds" json:"rounds"` // at most, of each start
	Starts int     `toml:"starts" json:"starts"` // clip ranges that the alternation is begun from
	Least  float64 `toml:"least" json:"least"`   // the last of them, as a share of the whole range
}

// GPTQ are the parameters of second-order rounding.
type GPTQ struct {
	Damp     float64      `toml:"damp" json:"damp"`           // share of the Hessian's mean diagonal that is added to its diagonal
	ActOrder bool         `toml:"act_order" json:"act_order"` // columns in the order of the Hessian's diagonal, largest first
	Block    int          `toml:"block" json:"block"`         // columns between two products of matrices
	Scales   WeightMethod `toml:"scales" json:"scales"`       // the method of the scales, which stay ("static groups")
}

// AutoRound are the parameters of rounding by signed gradients.
type AutoRound struct {
	Steps int     `toml:"steps" json:"steps"`
	Rate  float64 `toml:"rate" json:"rate"`   // of the first step, then falling to 0; 0 stands for 1/steps
	Range float64 `toml:"range" json:"range"` // clip ranges stay within 1 - range … 1 + range of the weights' own
}

// NeedsGrams tells whether Collect has to keep how channels go together, [In, In] numbers of each input.
func (c Config) NeedsGrams() bool {
	return c.Weighting == WeightGram && c.scales() == SearchMSE || c.RoundsCodes() || c.Fold == FoldAWQ
}

// RoundsCodes tells whether the weight method answers with codes that are not those of rounding to nearest.
func (c Config) RoundsCodes() bool { return c.WeightMethod == RoundGPTQ || c.WeightMethod == RoundAuto }

// scales is the method that scales come from.
func (c Config) scales() WeightMethod {
	if c.WeightMethod == RoundGPTQ {
		return c.GPTQ.Scales
	}
	return c.WeightMethod
}

// Suits tells why weights of a scheme cannot be fitted by the configured method.
func (c Config) Suits(sch quant.WeightScheme) error {
	switch {
	case c.scales() == FitHQQ && sch.Symmetric:
		return fmt.Errorf("calib: %s with scheme %v, want an asymmetric one: it fits zero points", FitHQQ, sch)
	case c.scales() == FitHQQ && c.Weighting == WeightGram:
		return fmt.Errorf("calib: %s with weighting %s, want %s or %s: it weighs columns", FitHQQ, WeightGram, WeightSecondMoment, WeightNone)
	case c.scales() == SearchMSE && c.Weighting == WeightGram && sch.Granularity != quant.PerGroup:
		return fmt.Errorf("calib: weighting %s with scheme %v, want scales per group", WeightGram, sch)
	case c.WeightMethod == RoundAuto && sch.Granularity == quant.PerTensor:
		return fmt.Errorf("calib: %s with scheme %v, want scales per group or channel: it takes row by row", RoundAuto, sch)
	}
	return nil
}

// DefaultConfig searches weight scales by the expected output error, over steps about as fine as the scale grid's own.
func DefaultConfig() Config {
	return Config{
		Utterances: 64, MinTokens: 32,
		Observer: ObserveMSE, Percentile: 99.99, AveragingConstant: 0.1,
		WeightMethod: SearchMSE, Weighting: WeightSecondMoment, GridPoints: 80, GridMin: 0.5, GridMax: 1.05,
		Rotation: RotateNone, RotationSeed: 1,
		Fold: FoldNone, FoldPoints: 20, FoldRows: 512, FoldAlpha: 0.5,
		HQQ:       HQQ{P: 0.7, Beta: 10, Growth: 1.01, Rounds: 20, Starts: 9, Least: 0.5},
		GPTQ:      GPTQ{Damp: 0.01, ActOrder: true, Block: 128, Scales: SearchMSE},
		AutoRound: AutoRound{Steps: 200, Range: 0.5},
	}
}

// Validate reports every field out of its range.
func (c Config) Validate() error {
	var errs []error
	wrong := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("calib: "+format, args...))
		}
	}
	wrong(c.Utterances >= 1, "utterances %d, want at least 1", c.Utterances)
	wrong(c.MinTokens >= 1, "min_tokens %d, want at least 1", c.MinTokens)
	wrong(slices.Contains(observerKinds, c.Observer), "observer %q, want one of %s", c.Observer, list(observerKinds))
	wrong(c.Percentile > 0 && c.Percentile <= 100, "percentile %v, want above 0 and at most 100", c.Percentile)
	wrong(c.AveragingConstant > 0 && c.AveragingConstant <= 1, "averaging_constant %v, want above 0 and at most 1", c.AveragingConstant)
	wrong(slices.Contains(weightMethods, c.WeightMethod), "weight_method %q, want one of %s", c.WeightMethod, list(weightMethods))
	wrong(slices.Contains(weightings, c.Weighting), "weighting %q, want one of %s", c.Weighting, list(weightings))
	wrong(c.GridPoints >= 2 && c.GridPoints <= 1000, "grid_points %d, want 2...1000", c.GridPoints)
	wrong(c.GridMin > 0 && c.GridMin < c.GridMax, "grid_min %v, want above 0 and below grid_max %v", c.GridMin, c.GridMax)
	wrong(c.GridMax <= 4, "grid_max %v, want at most 4", c.GridMax)
	wrong(slices.Contains(rotationKinds, c.Rotation), "rotation %q, want one of %s", c.Rotation, list(rotationKinds))
	wrong(c.RotationSeed != 0, "rotation_seed is 0, want another number")
	wrong(slices.Contains(foldMethods, c.Fold), "fold %q, want one of %s", c.Fold, list(foldMethods))
	wrong(c.FoldPoints >= 2 && c.FoldPoints <= 1000, "fold_points %d, want 2...1000", c.FoldPoints)
	wrong(c.FoldRows >= 0, "fold_rows %d, want 0 (all) or more", c.FoldRows)
	wrong(c.FoldAlpha >= 0 && c.FoldAlpha <= 1, "fold_alpha %v, want 0...1", c.FoldAlpha)
	wrong(c.HQQ.P > 0 && c.HQQ.P <= 1, "hqq.p %v, want above 0 and at most 1", c.HQQ.P)
	wrong(c.HQQ.Beta > 0, "hqq.beta %v, want above 0", c.HQQ.Beta)
	wrong(c.HQQ.Growth >= 1, "hqq.growth %v, want at least 1", c.HQQ.Growth)
	wrong(c.HQQ.Rounds >= 1 && c.HQQ.Starts >= 1, "hqq.rounds %d and hqq.starts %d, want at least 1", c.HQQ.Rounds, c.HQQ.Starts)
	wrong(c.HQQ.Least > 0 && c.HQQ.Least <= 1, "hqq.least %v, want above 0 and at most 1", c.HQQ.Least)
	wrong(c.GPTQ.Damp > 0, "gptq.damp %v, want above 0", c.GPTQ.Damp)
	wrong(c.GPTQ.Block >= 1 && c.GPTQ.Block <= 4096, "gptq.block %d, want 1...4096", c.GPTQ.Block)
	wrong(slices.Contains(scaleMethods, c.GPTQ.Scales), "gptq.scales %q, want one of %s", c.GPTQ.Scales, list(scaleMethods))
	wrong(c.AutoRound.Steps >= 1, "autoround.steps %d, want at least 1", c.AutoRound.Steps)
	wrong(c.AutoRound.Rate >= 0, "autoround.rate %v, want 0 (one over the steps) or more", c.AutoRound.Rate)
	wrong(c.AutoRound.Range >= 0 && c.AutoRound.Range < 1, "autoround.range %v, want 0 or more and below 1", c.AutoRound.Range)
	return errors.Join(errs...)
}
