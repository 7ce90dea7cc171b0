package blockwise

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// state is a copy of a block's parameters.
type state struct{ values []*ts.Tensor }

// take copies what the parameters are now, in the place of what was copied before.
func (s *state) take(params []*nn.Param) error {
	s.drop()
	return tensor.Run(func(c *tensor.Scope) error {
		for _, p := range params {
			s.values = append(s.values, c.Release(c.Clone(c.Detach(p.T))))
		}
		return nil
	})
}

// give sets the parameters to the copy, which is theirs then.
func (s *state) give(params []*nn.Param) {
	for i, p := range params {
		p.Set(s.values[i])
	}
	s.values = nil
}

func (s *state) drop() {
	for _, t := range s.values {
		t.Drop()
	}
	s.values = nil
}
