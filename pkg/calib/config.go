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
)

// UnmarshalText accepts the words above; another is an error that lists them.
func (k *ObserverKind) UnmarshalText(b []byte) error { return choose("observer", k, b, observerKinds) }

var observerKinds = []ObserverKind{ObserveMinMax, ObserveMovingAverage, ObservePercentile, ObserveMSE}

// WeightMethod names the rule for weight scales.
type WeightMethod string

// The methods. Asymmetric schemes have one fixed rule, the range over qmax - qmin, in the place of the first three.
const (
	AbsMax     WeightMethod = "absmax"      // absmax/7 (127 for 8 bits)
	AbsMaxHalf WeightMethod = "absmax_half" // absmax/7.5
	SignedMax  WeightMethod = "signed_max"  // absmax/8 where the value of largest magnitude is negative, else absmax/7
	SearchMSE  WeightMethod = "mse"         // least (weighted) squared error over a grid of clip ranges
)

// UnmarshalText accepts the words above; another is an error that lists them.
func (m *WeightMethod) UnmarshalText(b []byte) error {
	return choose("weight_method", m, b, weightMethods)
}

var weightMethods = []WeightMethod{AbsMax, AbsMaxHalf, SignedMax, SearchMSE}

// fixedRule is the rule of package quant for a method other than the search.
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
	WeightSecondMoment Weighting = "second_moment" // by the mean square of the channel that it multiplies
)

// UnmarshalText accepts the words above; another is an error that lists them.
func (w *Weighting) UnmarshalText(b []byte) error { return choose("weighting", w, b, weightings) }

var weightings = []Weighting{WeightNone, WeightSecondMoment}

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
	Weighting    Weighting    `toml:"weighting" json:"weighting"`     // of the search
	GridPoints   int          `toml:"grid_points" json:"grid_points"` // clip ranges that the search tries
	GridMin      float64      `toml:"grid_min" json:"grid_min"`       // smallest and largest clip range, as a share of
	GridMax      float64      `toml:"grid_max" json:"grid_max"`       // the one that clips nothing (absmax/qmax)
}

// DefaultConfig searches weight scales by the expected output error, over steps about as fine as the scale grid's own.
func DefaultConfig() Config {
	return Config{
		Utterances: 64, MinTokens: 32,
		Observer: ObserveMSE, Percentile: 99.99, AveragingConstant: 0.1,
		WeightMethod: SearchMSE, Weighting: WeightSecondMoment, GridPoints: 80, GridMin: 0.5, GridMax: 1.05,
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
	return errors.Join(errs...)
}
