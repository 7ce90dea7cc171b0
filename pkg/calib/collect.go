package calib

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Layer is what one layer's input looked like.
type Layer struct {
	Path    string
	In      int64 // width K
	Tokens  int64 // rows seen, padding not counted
	Range   MinMax
	Average MovingAverage
	Values  Histogram
	squares []float64 // sum of x_k^2, float64, in the order of the batches
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
	}
	return &l.Range
}

// Statistics of all targeted layers.
type Statistics struct {
	Batches int
	Layers  []*Layer // in the order of the targets
	byPath  map[string]*Layer
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
			return nil, fmt.Errorf("calib: batch %d: %w", col.stats.Batches+1, err)
		}
		col.stats.Batches++
	}
	return col.stats, col.coverage(cfg.MinTokens)
}

type collector struct {
	stats *Statistics
	slots map[string]*nn.Slot
}

func newCollector(slots []*nn.Slot, cfg Config) (*collector, error) {
	if len(slots) == 0 {
		return nil, errors.New("calib: no layer to calibrate")
	}
	c := &collector{stats: &Statistics{byPath: map[string]*Layer{}}, slots: map[string]*nn.Slot{}}
	for _, s := range slots {
		if c.slots[s.Path] != nil {
			return nil, fmt.Errorf("calib: layer %s is targeted twice", s.Path)
		}
		l := &Layer{Path: s.Path, In: s.In, Average: MovingAverage{Constant: cfg.AveragingConstant}, squares: make([]float64, s.In)}
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
		return fmt.Errorf("calib: %d of %d layers saw fewer than %d tokens: %s",
			len(short), len(c.stats.Layers), least, strings.Join(short, ", "))
	}
	return nil
}

// Pass is one forward pass that is watched.
type Pass struct {
	*nn.Context
	collector *collector
	mask      []int64
	b, t      int64
	last      sample
}

// Keep says that, from now on, watched inputs have the shape [b, t, K] and that only rows whose mask [b*t] (row-major)
// is not 0 are real. An input of another shape is then an error: call KeepAll before a part of the model that works on
// other rows, such as the code predictor's [frames, groups, K].
func (p *Pass) Keep(mask []int64, b, t int) {
	if len(mask) != b*t || mask == nil {
		p.Fail("calib", "mask of %d rows for a batch [%d, %d]", len(mask), b, t)
	}
	p.mask, p.b, p.t, p.last = mask, int64(b), int64(t), sample{}
}

// KeepAll says that from now on all rows are real, in any shape.
func (p *Pass) KeepAll() { p.mask, p.last = nil, sample{} }

// sample is one input as rows of float32, with what is the same for every layer that reads it.
type sample struct {
	of        *ts.Tensor // for its identity only: it keeps the address from being reused
	transform nn.Transform
	v         []float32 // [rows, width]
	rows      int64
	span      span
	squares   []float64
}

func (p *Pass) see(path string, x *ts.Tensor) {
	slot := p.collector.slots[path]
	if slot == nil {
		return
	}
	if p.last.of != x || p.last.transform != slot.Transform {
		s, err := p.sample(slot, x)
		p.Check("calib: "+path, err)
		p.last = s
	}
	s, l := &p.last, p.collector.stats.byPath[path]
	l.Tokens += s.rows
	l.Range.include(s.span)
	l.Average.include(s.span)
	l.Values.add(s.v, s.span)
	for i, q := range s.squares {
		l.squares[i] += q
	}
}

// sample copies the rows of x that count, after the slot's transform.
func (p *Pass) sample(slot *nn.Slot, x *ts.Tensor) (sample, error) {
	shape := p.Shape(x)
	if n := len(shape); n == 0 || shape[n-1] != slot.In {
		return sample{}, fmt.Errorf("input %v, want [..., %d]", shape, slot.In)
	}
	if p.mask != nil && (len(shape) != 3 || shape[0] != p.b || shape[1] != p.t) {
		return sample{}, fmt.Errorf("input %v under a mask of rows [%d, %d]", shape, p.b, p.t)
	}
	var v []float32
	var err error
	p.Nest(func(in *nn.Context) {
		y := x
		if slot.Transform != nil {
			y = slot.Transform.Apply(in, x)
		}
		v, err = tensor.Floats(y)
	})
	if err != nil {
		return sample{}, err
	}
	v = keep(v, p.mask, slot.In)
	s := sample{of: x, transform: slot.Transform, v: v, rows: int64(len(v)) / slot.In, span: spanOf(v), squares: make([]float64, slot.In)}
	for r := range s.rows {
		for k, e := range v[r*slot.In : (r+1)*slot.In] {
			if e-e != 0 {
				return sample{}, fmt.Errorf("input row %d, channel %d is %v, want finite values", r, k, e)
			}
			s.squares[k] += float64(float64(e) * float64(e))
		}
	}
	return s, nil
}

// keep moves the rows of width k whose mask is not 0 to the front; nil keeps all.
func keep(v []float32, mask []int64, k int64) []float32 {
	if mask == nil {
		return v
	}
	n := int64(0)
	for i, real := range mask {
		if real != 0 {
			copy(v[n*k:(n+1)*k], v[int64(i)*k:])
			n++
		}
	}
	return v[:n*k]
}
