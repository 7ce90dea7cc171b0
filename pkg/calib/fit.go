package calib

import (
	"errors"
	"fmt"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// Scheme is how one layer of this shape is quantized.
type Scheme struct {
	Out    int64                  `json:"out"`
	In     int64                  `json:"in"`
	Weight quant.WeightScheme     `json:"weight"`
	Input  quant.ActivationScheme `json:"input"`
}

// Result is what a student starts from, by the paths of its layers.
type Result struct {
	Config  Config
	Schemes map[string]Scheme
	Weights map[string]quant.QParams // every layer
	Inputs  map[string]float32       // the static scales of inputs, where they have one
	Report  *Report
}

// Fit computes the parameters of slots, which hold float weights, from the statistics of the same layers. schemes says
// how a path is quantized; a group size must divide the layer's width ([quant.WeightScheme.Fit] finds one that does).
//
// It is an error, listing all such layers, when statistics are missing; and when a weight is not finite. Layers are
// fitted on all CPUs; the result does not depend on their number.
func Fit(stats *Statistics, slots []*nn.Slot, schemes func(path string) (quant.WeightScheme, quant.ActivationScheme),
	cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := stats.covers(slots, cfg.MinTokens); err != nil {
		return nil, err
	}
	layers, errs := make([]layer, len(slots)), make([]error, len(slots))
	for i, s := range slots {
		layers[i].Weight, layers[i].Input = schemes(s.Path)
	}
	parallel(len(slots), 1, func(i, _ int) {
		errs[i] = layers[i].fit(stats.byPath[slots[i].Path], slots[i], cfg)
	})
	r := &Result{
		Config: cfg, Schemes: map[string]Scheme{}, Weights: map[string]quant.QParams{}, Inputs: map[string]float32{},
		Report: &Report{Percentile: cfg.Percentile},
	}
	for i, l := range layers {
		path := slots[i].Path
		if errs[i] != nil {
			return nil, fmt.Errorf("calib: %s: %w", path, errs[i])
		}
		r.Schemes[path], r.Weights[path] = l.Scheme, l.params
		if l.Input.Mode == quant.StaticTensor {
			r.Inputs[path] = l.row.InputScale
		}
		r.Report.Rows = append(r.Report.Rows, l.row)
	}
	return r, nil
}

func (s *Statistics) covers(slots []*nn.Slot, least int64) error {
	if len(slots) == 0 {
		return errors.New("calib: no layer to fit")
	}
	some := &collector{stats: &Statistics{Batches: s.Batches}}
	for _, slot := range slots {
		l := s.byPath[slot.Path]
		if l == nil {
			l = &Layer{Path: slot.Path}
		}
		some.stats.Layers = append(some.stats.Layers, l)
	}
	return some.coverage(least)
}

// layer is the result of one layer.
type layer struct {
	Scheme
	params quant.QParams
	row    Row
}

func (l *layer) fit(seen *Layer, slot *nn.Slot, cfg Config) error {
	l.Out, l.In = slot.Out, slot.In
	if err := l.Input.Validate(); err != nil {
		return err
	}
	w, err := weightOf(slot)
	if err != nil {
		return err
	}
	moments := seen.SecondMoment()
	if l.params, err = fitWeight(w, moments, slot.Out, slot.In, l.Weight, cfg); err != nil {
		return err
	}
	l.row = Row{
		Layer: slot.Path, Scheme: l.Weight.String() + " " + l.Input.String(), Tokens: seen.Tokens,
		Min: seen.Range.Min, Max: seen.Range.Max, Percentile: seen.Values.AbsPercentile(cfg.Percentile),
	}
	if err := l.row.measure(w, moments, l.Scheme, l.params); err != nil || l.Input.Mode != quant.StaticTensor {
		return err
	}
	in, err := seen.observer(cfg).QParams(l.Input)
	if err != nil {
		return err
	}
	l.row.InputScale = in.Scale[0]
	l.row.InputSQNR = decibels(seen.Values.Power(), seen.Values.SquaredError(in.Scale[0], l.Input.QMax()))
	return nil
}

// fitWeight is the weight's parameters by the configured method. moments are the mean squares of the channels, [k].
func fitWeight(w []float32, moments []float64, n, k int64, sch quant.WeightScheme, cfg Config) (quant.QParams, error) {
	if cfg.WeightMethod != SearchMSE {
		return quant.InitQParams(w, n, k, sch, cfg.WeightMethod.fixedRule(sch))
	}
	h := make([]float64, k)
	if cfg.Weighting == WeightSecondMoment {
		h = importance(moments)
	} else {
		for i := range h {
			h[i] = 1
		}
	}
	return bestQParams(w, h, n, k, sch, cfg)
}

// importance is the second moments plus a millionth of their mean: among scales that are equal to the data, because
// they differ in channels that were silent, the plain error decides. All silent counts all alike.
func importance(moments []float64) []float64 {
	var mean float64
	for _, m := range moments {
		mean += m / float64(len(moments))
	}
	h := slices.Clone(moments)
	for i := range h {
		h[i] += 1e-6 * mean
		if mean == 0 {
			h[i] = 1
		}
	}
	return h
}

// RoundToNearest is what a model gets without calibration: parameters from the weights alone, by one rule. The rule of
// asymmetric schemes is the range.
func RoundToNearest(slots []*nn.Slot, schemes func(path string) quant.WeightScheme, m quant.ScaleMethod) (map[string]quant.QParams, error) {
	out := map[string]quant.QParams{}
	for _, slot := range slots {
		w, err := weightOf(slot)
		if err != nil {
			return nil, fmt.Errorf("calib: %s: %w", slot.Path, err)
		}
		sch, rule := schemes(slot.Path), m
		if !sch.Symmetric {
			rule = quant.MinMax
		}
		if out[slot.Path], err = quant.InitQParams(w, slot.Out, slot.In, sch, rule); err != nil {
			return nil, fmt.Errorf("calib: %s: %w", slot.Path, err)
		}
	}
	return out, nil
}

// weightOf copies the slot's dense weight [Out, In].
func weightOf(slot *nn.Slot) (w []float32, err error) {
	err = nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			t := slot.P.Weight(c)
			if t == nil {
				err = errors.New("weight is not loaded")
				return
			}
			w, err = tensor.Floats(t)
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, quant.CheckFinite(w, slot.Out, slot.In)
}
