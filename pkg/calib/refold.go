package calib

import (
	"context"
	"iter"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

// Static scales of inputs whose channels are rescaled. Range and moments of a channel are divided with it, but a histogram of
// all values, or the mean of ranges, is not a function of what it was before: the inputs are seen a second time.

// rescaled is an input as a fold has it.
type rescaled struct {
	by      []float32 // [In]
	Average MovingAverage
	Values  Histogram
}

// FitFolds are the folds with the scales that Fit would find; a fold that the configuration leaves alone has none.
func FitFolds(stats *Statistics, schemes func(path string) (quant.WeightScheme, quant.ActivationScheme), cfg Config, folds ...Fold) ([]Fold, error) {
	if err := cfg.Validate(); err != nil || cfg.Fold == FoldNone {
		return nil, err
	}
	out := make([]Fold, len(folds))
	for i, f := range folds {
		var readers []*nn.Slot
		for _, r := range f.Readers {
			if stats.Layer(r.Path) != nil {
				readers = append(readers, r)
			}
		}
		if len(readers) > 0 {
			if err := stats.covers(readers, cfg); err != nil {
				return nil, err
			}
		}
		var err error
		if f.Scale, err = f.fit(stats, schemes, cfg); err != nil {
			return nil, err
		}
		out[i] = f
	}
	return out, nil
}

// CollectFolded shows stats the inputs that folds with scales change, as they will be, where they are to have static scales
// of which their range is not enough; where there are none it runs nothing. Slots, batches and forward are those of
// [Collect]: the model is not changed, what a layer reads is divided before it is counted.
func CollectFolded[B any](ctx context.Context, stats *Statistics, slots []*nn.Slot, batches iter.Seq2[B, error],
	forward func(p *Pass, batch B) error, schemes func(path string) (quant.WeightScheme, quant.ActivationScheme),
	cfg Config, folds ...Fold) error {
	if cfg.Observer == ObserveMinMax {
		return nil
	}
	scales := map[string][]float32{}
	for _, f := range folds {
		for _, r := range f.Readers {
			if _, a := schemes(r.Path); f.Scale != nil && a.Mode == quant.StaticTensor {
				scales[r.Path] = f.Scale
			}
		}
	}
	var watched []*nn.Slot
	last := new(division)
	for _, s := range slots {
		by := scales[s.Path]
		if by == nil || stats.byPath[s.Path] == nil {
			continue
		}
		if last.by == nil || &last.by[0] != &by[0] || last.Transform != s.Transform { // else both read one input
			last = &division{s.Transform, by}
		}
		watched = append(watched, &nn.Slot{Path: s.Path, In: s.In, Out: s.Out, P: s.P, Transform: last})
	}
	if len(watched) == 0 {
		return nil
	}
	cfg.Fold, cfg.WeightMethod = FoldNone, AbsMax // no products of channels
	again, err := Collect(ctx, watched, batches, forward, cfg)
	if err != nil {
		return err
	}
	defer again.Close()
	for _, l := range again.Layers {
		stats.byPath[l.Path].again = &rescaled{by: scales[l.Path], Average: l.Average, Values: l.Values}
	}
	return nil
}

// division divides each channel of an input, after a transform if there is one.
type division struct {
	nn.Transform
	by []float32
}

// Visit shows the transform's parameters.
func (d *division) Visit(v nn.Visitor) {
	if d.Transform != nil {
		d.Transform.Visit(v)
	}
}

// Apply is the transform of x [..., In] over by.
func (d *division) Apply(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	if d.Transform != nil {
		x = d.Transform.Apply(c, x)
	}
	return c.Div(x, c.ToDevice(c.FromFloats(d.by, int64(len(d.by))), c.Device(x)))
}
