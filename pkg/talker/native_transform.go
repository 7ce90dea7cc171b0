package talker

import (
	"fmt"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// turn is a transform of inputs as it was described: a parameter may be replaced.
type turn struct {
	t *ts.Tensor
	n *native.Transform
}

// transform is that of a slot's input, the same for all slots that share one; nil for none.
func (w *weights) transform(s *nn.Slot) *native.Transform {
	if s.Transform == nil || w.err != nil {
		return nil
	}
	divisor, block, err := turning(s)
	if err != nil {
		w.err = err
		return nil
	}
	have, now := w.turns[s.Transform], (*ts.Tensor)(nil)
	if divisor != nil {
		now = divisor.T
	}
	if have != nil && have.t == now {
		return have.n
	}
	var values []float32
	if divisor != nil {
		values = w.vector(divisor)
	}
	n, err := native.NewTransform(values, block)
	if w.err == nil {
		w.err = err
	}
	if w.err != nil {
		return nil
	}
	if have != nil {
		have.n.Close() // those that have it are described again, or dropped
	}
	w.turns[s.Transform] = &turn{now, n}
	return n
}

// turning is what the transform of a slot divides by, or nil, and the block that it rotates, or 0.
func turning(s *nn.Slot) (divisor *nn.Param, block int, err error) {
	switch t := s.Transform.(type) {
	case *nn.ChannelScale:
		return t.S, 0, nil
	case nn.Hadamard:
		return nil, int(t.Block), nil
	}
	return nil, 0, fmt.Errorf("%s has a %T on its input, want a scale per channel or a rotation", s.Path, s.Transform)
}
