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
	divisor, rotation, err := turning(s)
	if err != nil {
		w.err = err
		return nil
	}
	return w.turn(s.Transform, divisor, rotation)
}

// rotation is that of a decoder's residual stream; nil for none.
func (w *weights) rotation(d *nn.Decoder) *native.Transform {
	if d.Rotation.Block == 0 || w.err != nil {
		return nil
	}
	return w.turn(d.Rotation, nil, rotated(d.Rotation))
}

func (w *weights) turn(key nn.Transform, divisor *nn.Param, rotation native.Rotation) *native.Transform {
	have, now := w.turns[key], (*ts.Tensor)(nil)
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
	n, err := native.NewTransform(values, rotation)
	if w.err == nil {
		w.err = err
	}
	if w.err != nil {
		return nil
	}
	if have != nil {
		have.n.Close() // those that have it are described again, or dropped
	}
	w.turns[key] = &turn{now, n}
	return n
}

// turning is what the transform of a slot divides by, or nil, and how it rotates.
func turning(s *nn.Slot) (divisor *nn.Param, r native.Rotation, err error) {
	switch t := s.Transform.(type) {
	case *nn.ChannelScale:
		return t.S, r, nil
	case nn.Hadamard:
		return nil, rotated(t), nil
	}
	return nil, r, fmt.Errorf("%s has a %T on its input, want a scale per channel or a rotation", s.Path, s.Transform)
}

func rotated(h nn.Hadamard) native.Rotation {
	return native.Rotation{Block: int(h.Block), Signs: h.Signs()}
}
