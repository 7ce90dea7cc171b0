package calib

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
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
	Weights map[string]quant.QParams // every layer; of the weights as they are once Folds have been applied
	Codes   map[string][]byte        // codes less the scheme's smallest, [out, in], of layers that were not rounded to nearest
	Inputs  map[string]float32       // the static scales of inputs, where they have one
	Folds   map[string][]float32     // scales by the paths of folds; to be applied before anything else
	Report  *Report
}

// NewResult is that of no layer.
func NewResult(cfg Config) *Result {
	return &Result{
		Config: cfg, Schemes: map[string]Scheme{}, Weights: map[string]quant.QParams{}, Codes: map[string][]byte{},
		Inputs: map[string]float32{}, Folds: map[string][]float32{}, Report: &Report{Percentile: cfg.Percentile},
	}
}

// Add takes in what part has of other layers, behind its own. The configuration is the same.
func (r *Result) Add(part *Result) {
	maps.Copy(r.Schemes, part.Schemes)
	maps.Copy(r.Weights, part.Weights)
	maps.Copy(r.Codes, part.Codes)
	maps.Copy(r.Inputs, part.Inputs)
	maps.Copy(r.Folds, part.Folds)
	r.Report.Rows = append(r.Report.Rows, part.Report.Rows...)
}

// Fit computes the parameters of slots, which hold float weights, from the statistics of the same layers. schemes says
// how a path is quantized; a group size must divide the layer's width ([quant.WeightScheme.Fit] finds one that does).
// folds are where channels can be rescaled, if the configuration says how; no weight is changed.
//
// It is an error, listing all such layers, when statistics are missing; and when a weight is not finite, or a layer cannot
// be fitted with the configured method. The result does not depend on the number of threads, but for methods that need Gram
// matrices: libtorch sums their products in an order of its own.
func Fit(stats *Statistics, slots []*nn.Slot, schemes func(path string) (quant.WeightScheme, quant.ActivationScheme),
	cfg Config, folds ...Fold) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := stats.covers(slots, cfg); err != nil {
		return nil, err
	}
	r := NewResult(cfg)
	layers := make([]layer, len(slots))
	at := map[string]*layer{}
	for i, s := range slots {
		layers[i].slot, layers[i].seen = s, stats.byPath[s.Path]
		layers[i].Weight, layers[i].Input = schemes(s.Path)
		at[s.Path] = &layers[i]
	}
	if err := r.fold(stats, folds, at, schemes); err != nil {
		return nil, err
	}
	each := tensor.Each
	if cfg.NeedsGrams() { // one layer keeps all threads busy, and takes more memory
		each = inTurn
	}
	err := each(len(layers), func(i int) error {
		if err := layers[i].fit(cfg); err != nil {
			return fmt.Errorf("calib: %s: %w", slots[i].Path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		path := slots[i].Path
		r.Schemes[path], r.Weights[path] = l.Scheme, l.params
		if l.codes != nil {
			r.Codes[path] = l.codes
		}
		if l.Input.Mode == quant.StaticTensor {
			r.Inputs[path] = l.row.InputScale
		}
		r.Report.Rows = append(r.Report.Rows, l.row)
	}
	return r, nil
}

func inTurn(n int, f func(i int) error) error {
	for i := range n {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// fold finds the scales of all folds and tells the layers that they change.
func (r *Result) fold(stats *Statistics, folds []Fold, layers map[string]*layer,
	schemes func(path string) (quant.WeightScheme, quant.ActivationScheme)) error {
	if r.Config.Fold == FoldNone {
		return nil
	}
	if len(folds) == 0 {
		return fmt.Errorf("calib: fold %q, but no place for scales is known in this model", r.Config.Fold)
	}
	for _, f := range folds {
		scale, err := f.fit(stats, schemes, r.Config)
		if err != nil {
			return err
		}
		if scale == nil {
			continue
		}
		r.Folds[f.Path] = scale
		for _, reader := range f.Readers {
			if l := layers[reader.Path]; l != nil {
				l.columns = scale
			}
		}
		if f.Writer != nil && layers[f.Writer.Path] != nil {
			layers[f.Writer.Path].rows = f.rows(scale)
		}
	}
	return nil
}

func (s *Statistics) covers(slots []*nn.Slot, cfg Config) error {
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
	if err := some.coverage(cfg.MinTokens); err != nil {
		return err
	}
	for _, l := range some.stats.Layers {
		if cfg.NeedsGrams() && (l.Gram == nil || l.Gram.Rows != l.Tokens) {
			return fmt.Errorf("calib: %s: the statistics were collected without how channels go together, which this configuration needs", l.Path)
		}
	}
	return nil
}

// layer is the result of one layer.
type layer struct {
	Scheme
	slot          *nn.Slot
	seen          *Layer
	columns, rows []float32 // the weight's columns are multiplied, its rows divided; nil for none
	params        quant.QParams
	codes         []byte
	row           Row
}

func (l *layer) fit(cfg Config) error {
	l.Out, l.In = l.slot.Out, l.slot.In
	if err := l.Input.Validate(); err != nil {
		return err
	}
	w, err := weightOf(l.slot)
	if err != nil {
		return err
	}
	l.rescale(w)
	seen := l.seen
	if l.columns != nil {
		seen = seen.folded(l.columns)
	}
	moments := seen.SecondMoment()
	l.row = Row{
		Layer: l.slot.Path, Scheme: l.Weight.String() + " " + l.Input.String(), Tokens: seen.Tokens,
		Min: seen.Range.Min, Max: seen.Range.Max, Percentile: seen.Values.AbsPercentile(cfg.Percentile),
	}
	err = nn.Run(func(c *nn.Context) error {
		var h *ts.Tensor
		if seen.Gram != nil {
			h = seen.Gram.mean(c, l.columns)
		}
		if err := l.fitWeight(c, w, moments, h, cfg); err != nil {
			return err
		}
		return l.row.measure(c, w, moments, h, l.Scheme, l.params, l.codes)
	})
	if err != nil || l.Input.Mode != quant.StaticTensor {
		return err
	}
	if l.columns != nil && cfg.Observer != ObserveMinMax && seen.Values.N() == 0 {
		return fmt.Errorf("fold %q with static activations and observer %q: only ranges are known of rescaled channels: observe them by CollectFolded, or by %q",
			cfg.Fold, cfg.Observer, ObserveMinMax)
	}
	in, err := seen.observer(cfg).QParams(l.Input)
	if err != nil {
		return err
	}
	l.row.InputScale = in.Scale[0]
	if seen.Values.N() > 0 {
		l.row.InputSQNR = decibels(seen.Values.Power(), seen.Values.SquaredError(in.Scale[0], l.Input.QMax()))
	}
	return nil
}

// rescale folds the scales into w [Out, In].
func (l *layer) rescale(w []float32) {
	if l.columns == nil && l.rows == nil {
		return
	}
	for i := range w {
		if l.columns != nil {
			w[i] *= l.columns[int64(i)%l.In]
		}
		if l.rows != nil {
			w[i] /= l.rows[int64(i)/l.In]
		}
	}
}

// fitWeight finds the parameters of w, and codes where the method has its own.
func (l *layer) fitWeight(c *nn.Context, w []float32, moments []float64, h *ts.Tensor, cfg Config) (err error) {
	l.params, l.codes, err = FitWeight(c, Weight{w, l.Out, l.In, l.Weight}, moments, h, cfg)
	return err
}

// Weight is a dense weight [Out, In], row after row, and how it is to be quantized.
type Weight struct {
	W       []float32
	Out, In int64
	Scheme  quant.WeightScheme
}

// FitWeight finds the parameters of one weight of finite values by the configured method, and the codes less the scheme's
// smallest, [Out, In], where the method has others than those of rounding to nearest (else nil). moments [In] are the mean
// squares of the channels that the weight reads, for weighting second_moment; h [In, In] is their mean Gram matrix, for
// the methods that Config.NeedsGrams tells of.
func FitWeight(c *nn.Context, w Weight, moments []float64, h *ts.Tensor, cfg Config) (p quant.QParams, codes []byte, err error) {
	if err := cfg.Suits(w.Scheme); err != nil {
		return p, nil, err
	}
	if cfg.WeightMethod == RoundAuto {
		return autoRound(c, w.W, w.Out, w.In, h, w.Scheme, cfg.AutoRound)
	}
	if p, err = fitScales(c, w.W, moments, h, w.Out, w.In, w.Scheme, cfg); err != nil || cfg.WeightMethod != RoundGPTQ {
		return p, nil, err
	}
	codes, err = gptq(c, w.W, w.Out, w.In, h, p, w.Scheme, cfg.GPTQ)
	return p, codes, err
}

func fitScales(c *nn.Context, w []float32, moments []float64, h *ts.Tensor, n, k int64, sch quant.WeightScheme, cfg Config) (quant.QParams, error) {
	if m := cfg.scales(); m.fixed() {
		p, _, err := nearest(w, n, k, sch, m.fixedRule(sch), nil)
		return p, err
	}
	weights := slices.Repeat([]float64{1}, int(k))
	var form []float32
	switch cfg.Weighting {
	case WeightSecondMoment:
		weights = importance(moments)
	case WeightGram:
		var err error
		if form, err = blocks(c, h, sch.GroupSize); err != nil {
			return quant.QParams{}, err
		}
	}
	if cfg.scales() == FitHQQ {
		return halfQuadratic(w, weights, n, k, sch, cfg.HQQ)
	}
	return bestQParams(w, weights, form, n, k, sch, cfg)
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
