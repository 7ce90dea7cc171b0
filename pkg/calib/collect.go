package calib

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/nn"
)

// Layer is what one layer's input looked like.
type Layer struct {
	Path    string
	In      int64 // width K
	Tokens  int64 // rows seen, padding not counted
	Range   MinMax
	Average MovingAverage
	Values  Histogram
	Gram    *Gram     // shared by the layers that read one input; nil unless the configuration needs it
	squares []float64 // sum of x_k^2, float64, in the order of the batches
	sizes   []float64 // sum of |x_k|
	low     []float32 // the smallest and the largest x_k
	high    []float32
	again   *rescaled // seen once more, as a fold has it; nil unless CollectFolded was told of one
}

func newLayer(path string, in int64, cfg Config) *Layer {
	return &Layer{
		Path: path, In: in, Average: MovingAverage{Constant: cfg.AveragingConstant},
		squares: make([]float64, in), sizes: make([]float64, in), low: make([]float32, in), high: make([]float32, in),
	}
}

// Magnitude is the mean of |x_k| of each input channel, [In].
func (l *Layer) Magnitude() []float64 {
	m := make([]float64, len(l.sizes))
	for i, s := range l.sizes {
		m[i] = s / float64(l.Tokens)
	}
	return m
}

// Peak is the largest |x_k| of each input channel, [In].
func (l *Layer) Peak() []float32 {
	p := make([]float32, len(l.low))
	for i := range p {
		p[i] = max(-l.low[i], l.high[i])
	}
	return p
}

// folded is l as it would be with channel k divided by s[k]. Histogram and moving average, which do not tell, are those of
// a second pass, or empty.
func (l *Layer) folded(s []float32) *Layer {
	f := &Layer{Path: l.Path, In: l.In, Tokens: l.Tokens, Gram: l.Gram}
	f.Range.N = l.Range.N
	for k, v := range s {
		f.squares = append(f.squares, l.squares[k]/float64(v)/float64(v))
		f.sizes = append(f.sizes, l.sizes[k]/float64(v))
		f.low, f.high = append(f.low, l.low[k]/v), append(f.high, l.high[k]/v)
		f.Range.Min, f.Range.Max = min(f.Range.Min, f.low[k]), max(f.Range.Max, f.high[k])
	}
	if l.again != nil && slices.Equal(l.again.by, s) {
		f.Values, f.Average = l.again.Values, l.again.Average
	}
	return f
}

// SecondMoment is the mean of x_k^2 of each input channel, [In].
func (l *Layer) SecondMoment() []float64 {
	h := make([]float64, len(l.squares))
	for i, s := range l.squares {
		h[i] = s / float64(l.Tokens)
	}
	return h
}

// observer answers for the configured kind from what has been collected.
func (l *Layer) observer(cfg Config) Observer {
	switch cfg.Observer {
	case ObserveMovingAverage:
		return &l.Average
	case ObservePercentile:
		return &Percentile{P: cfg.Percentile, H: &l.Values}
	case ObserveMSE:
		return &MSE{H: &l.Values}
	case ObserveEntropy:
		return &Entropy{H: &l.Values}
	}
	return &l.Range
}

// Statistics of all targeted layers.
type Statistics struct {
	Batches int
	Layers  []*Layer // in the order of the targets
	byPath  map[string]*Layer
}

// Close frees what lies outside Go's memory.
func (s *Statistics) Close() {
	for _, l := range s.Layers {
		if l.Gram != nil {
			l.Gram.Close()
		}
	}
}

// Layer finds a layer by its path; nil if it was not a target.
func (s *Statistics) Layer(path string) *Layer { return s.byPath[path] }

// Collect runs forward over the batches, without gradients, and gathers statistics of the inputs of slots. Each batch
// has its own scope. forward runs the float model with p.Context as the nn.Context, and tells p which rows are real:
//
//	func(p *calib.Pass, b *talker.Batch) error {
//		x := m.Embed(p.Context, b)
//		p.Keep(b.Mask, b.B, b.T)
//		h := m.Hidden(p.Context, x, m.View(p.Context, b), nil)
//		p.KeepAll()
//		...                                  // heads and code predictor, on picked rows
//	}
//
// It is an error when there is no slot or no batch, when an input is not finite (the layer is named), and when a layer
// has seen fewer than cfg.MinTokens rows (all of them are listed). When ctx ends, its error comes back after the batch.
// The caller closes the statistics.
func Collect[B any](ctx context.Context, slots []*nn.Slot, batches iter.Seq2[B, error],
	forward func(p *Pass, batch B) error, cfg Config) (*Statistics, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	col, err := newCollector(slots, cfg)
	if err != nil {
		return nil, err
	}
	for batch, err := range batches {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = col.run(func(p *Pass) error { return forward(p, batch) })
		}
		if err != nil {
			col.stats.Close()
			return nil, fmt.Errorf("calib: batch %d: %w", col.stats.Batches+1, err)
		}
		col.stats.Batches++
	}
	if err := col.coverage(cfg.MinTokens); err != nil {
		col.stats.Close()
		return nil, err
	}
	return col.stats, nil
}

type collector struct {
	stats *Statistics
	slots map[string]*nn.Slot
	grams bool
}

func newCollector(slots []*nn.Slot, cfg Config) (*collector, error) {
	if len(slots) == 0 {
		return nil, errors.New("calib: no layer to calibrate")
	}
	c := &collector{stats: &Statistics{byPath: map[string]*Layer{}}, slots: map[string]*nn.Slot{}, grams: cfg.NeedsGrams()}
	for _, s := range slots {
		if c.slots[s.Path] != nil {
			return nil, fmt.Errorf("calib: layer %s is targeted twice", s.Path)
		}
		l := newLayer(s.Path, s.In, cfg)
		c.slots[s.Path], c.stats.byPath[s.Path] = s, l
		c.stats.Layers = append(c.stats.Layers, l)
	}
	return c, nil
}

func (c *collector) run(forward func(p *Pass) error) error {
	return nn.Run(func(ctx *nn.Context) (err error) {
		p := &Pass{Context: ctx, collector: c}
		ctx.Input = p.see
		nn.NoGrad(func() { err = forward(p) })
		return err
	})
}

// coverage lists the layers that saw too little.
func (c *collector) coverage(least int64) error {
	if c.stats.Batches == 0 {
		return errors.New("calib: no calibration data: not one batch")
	}
	var short []string
	for _, l := range c.stats.Layers {
		if l.Tokens < least {
			short = append(short, fmt.Sprintf("%s (%d)", l.Path, l.Tokens))
		}
	}
	if len(short) > 0 {
		return fmt.Errorf("calib: %d of %d layers saw fewer than %d tokens: %s (raise calib.utterances, lower calib.min_tokens, or exclude them)",
			len(short), len(c.stats.Layers), least, strings.Join(short, ", "))
	}
	return nil
}
