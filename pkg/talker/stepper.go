package talker

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Stepper runs a decoder row after row and remembers the rows before. Talker and code predictor both sit behind it:
// W is the width of the rows that it reads, W' that of its final-normed hidden states.
type Stepper interface {
	// Prefill forgets everything, reads rows x [B,T,W] and returns the hidden state of the last row, [B,W']. mask [B·T]
	// has 1 for real rows, padding stands on the left; nil means that all are real.
	Prefill(c *nn.Context, x *ts.Tensor, mask []int64) *ts.Tensor
	// Step reads one row of each sequence, x [B,W], and returns its hidden state [B,W'].
	Step(c *nn.Context, x *ts.Tensor) *ts.Tensor
	// Keep goes on with these sequences only, in this order.
	Keep(c *nn.Context, sequences []int64)
	// Close frees the memory.
	Close()
}

// cached is the Stepper of the library: any projections, one key-value cache per layer.
type cached struct {
	m       *Model
	decoder *nn.Decoder
	enter   func(c *nn.Context, x *ts.Tensor) *ts.Tensor
	caches  []*nn.KVCache
	mask    [][]int64 // [B][S], nil when every row is real
	pads    []int64   // [B], padding rows of each sequence; nil likewise
	rows    int64     // S
}

// TalkerStepper reads rows of the talker's width H and returns its hidden states.
func (m *Model) TalkerStepper() Stepper {
	return m.stepper(m.Decoder, func(_ *nn.Context, x *ts.Tensor) *ts.Tensor { return x })
}

// PredictorStepper reads rows of width H, the talker's hidden state first, and returns the code predictor's states.
func (m *Model) PredictorStepper() Stepper { return m.stepper(m.Predictor.Decoder, m.Predictor.Adapt) }

func (m *Model) stepper(d *nn.Decoder, enter func(*nn.Context, *ts.Tensor) *ts.Tensor) Stepper {
	s := &cached{m: m, decoder: d, enter: enter}
	for range d.Blocks {
		s.caches = append(s.caches, new(nn.KVCache))
	}
	return s
}

func (s *cached) Prefill(c *nn.Context, x *ts.Tensor, mask []int64) *ts.Tensor {
	for _, kv := range s.caches {
		kv.Reset()
	}
	size := c.Shape(x)
	B, T := int(size[0]), int(size[1])
	s.rows = size[1]
	if mask == nil {
		mask = filled(B*T, 1)
	}
	if s.mask, s.pads = nil, nil; leftPadded(mask, B, T) {
		for b := range B {
			row := append([]int64(nil), mask[b*T:(b+1)*T]...)
			s.mask = append(s.mask, row)
			s.pads = append(s.pads, int64(T)-sum(row))
		}
	}
	h := s.run(c, x, s.m.ViewOf(c, mask, B, T))
	return c.Select(h, 1, s.rows-1)
}

func (s *cached) Step(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	view := View{Positions: s.m.ints(c, []int64{s.rows}, 1, 1)} // the row sees all others: no mask
	if s.mask != nil {
		view = s.padded(c)
	}
	s.rows++
	return c.Squeeze(s.run(c, c.Unsqueeze(x, 1), view), 1)
}

// padded is the view of one more row where sequences have padding: it stands after the real rows and sees only them.
func (s *cached) padded(c *nn.Context) View {
	B := int64(len(s.mask))
	var flat, at []int64
	for b := range s.mask {
		s.mask[b] = append(s.mask[b], 1)
		flat = append(flat, s.mask[b]...)
		at = append(at, s.rows-s.pads[b])
	}
	seen := c.To(c.FromInts(flat, B, 1, 1, s.rows+1), s.m.DType)
	return View{
		Positions: s.m.ints(c, at, B, 1),
		Mask:      c.ToDevice(c.MulScalar(c.SubScalar(seen, 1), nn.Masked), s.m.Device),
	}
}

func (s *cached) run(c *nn.Context, x *ts.Tensor, v View) *ts.Tensor {
	return s.decoder.Forward(c, s.enter(c, x), v.Positions, v.Mask, s.caches)
}

func (s *cached) Keep(c *nn.Context, sequences []int64) {
	ids := s.m.ints(c, sequences, int64(len(sequences)))
	for _, kv := range s.caches {
		kv.Keep(c, ids)
	}
	if s.mask == nil {
		return
	}
	mask, pads := s.mask, s.pads
	s.mask, s.pads = nil, nil
	for _, b := range sequences {
		s.mask, s.pads = append(s.mask, mask[b]), append(s.pads, pads[b])
	}
}

func (s *cached) Close() {
	for _, kv := range s.caches {
		kv.Close()
	}
	s.rows = 0
}

func sum(v []int64) int64 {
	n := int64(0)
	for _, x := range v {
		n += x
	}
	return n
}
