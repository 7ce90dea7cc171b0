package calib

import (
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

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
		p.Fail("keep", "mask of %d rows for a batch [%d, %d]", len(mask), b, t)
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
	sizes     []float64
	low, high []float32
	gram      *Gram // that has these rows already
}

func (p *Pass) see(path string, x *ts.Tensor) {
	slot := p.collector.slots[path]
	if slot == nil {
		return
	}
	if p.last.of != x || p.last.transform != slot.Transform {
		s, err := p.sample(slot, x)
		p.Check(path, err)
		p.last = s
	}
	s, l := &p.last, p.collector.stats.byPath[path]
	l.Tokens += s.rows
	l.Range.include(s.span)
	l.Average.include(s.span)
	l.Values.add(s.v, s.span)
	for i, q := range s.squares {
		l.squares[i] += q
		l.sizes[i] += s.sizes[i]
		l.low[i], l.high[i] = min(l.low[i], s.low[i]), max(l.high[i], s.high[i])
	}
	if p.collector.grams && s.rows > 0 {
		p.multiply(l, s)
	}
}

// multiply adds the rows to the layer's Gram matrix, unless a layer before has read them and shares it.
func (p *Pass) multiply(l *Layer, s *sample) {
	if l.Gram == nil {
		l.Gram = s.gram
	}
	if l.Gram == nil {
		l.Gram = &Gram{In: l.In}
	}
	if l.Gram == s.gram {
		return
	}
	p.Nest(func(in *nn.Context) { l.Gram.add(in, in.FromFloats(s.v, s.rows, l.In)) })
	s.gram = l.Gram
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
	s := sample{of: x, transform: slot.Transform, v: v, rows: int64(len(v)) / slot.In, span: spanOf(v), squares: make([]float64, slot.In),
		sizes: make([]float64, slot.In), low: make([]float32, slot.In), high: make([]float32, slot.In)}
	for r := range s.rows {
		for k, e := range v[r*slot.In : (r+1)*slot.In] {
			if e-e != 0 {
				return sample{}, fmt.Errorf("input row %d, channel %d is %v, want finite values", r, k, e)
			}
			s.squares[k] += float64(float64(e) * float64(e))
			s.sizes[k] += math.Abs(float64(e))
			if e < s.low[k] {
				s.low[k] = e
			}
			if e > s.high[k] {
				s.high[k] = e
			}
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
