package train

import (
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// NonFiniteError is a training that stopped because a number became NaN or infinite.
type NonFiniteError struct {
	Step  int
	What  string  // `loss term "kl_code0"`, "held-out value"
	Value float64 // what was found
	Layer string  // the first layer whose input or output is not finite; "" when all are
}

func (e *NonFiniteError) Error() string {
	s := fmt.Sprintf("train: step %d: %s is %v, want a finite number", e.Step, e.What, e.Value)
	if e.Layer != "" {
		s += fmt.Sprintf(" (first seen in layer %q)", e.Layer)
	}
	return s
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// blame runs the forward pass once more, watched, and returns the first layer that shows a value that is not finite.
func blame(o Objective, us []data.Utterance, total Counts) (layer string) {
	watch := func(path string, x *ts.Tensor) {
		if layer == "" && !allFinite(x) {
			layer = path
		}
	}
	// The pass may fail in an operation after the one that is looked for; the name is what counts here.
	_ = nn.Run(func(c *nn.Context) (err error) {
		c.Input, c.Output = watch, watch
		nn.NoGrad(func() { _, err = o.Terms(c, us, total) })
		return err
	})
	return layer
}

func allFinite(x *ts.Tensor) (ok bool) {
	err := tensor.Run(func(s *tensor.Scope) error {
		ok = s.All(s.Isfinite(s.Must(s.Detach(x).Sum(gotch.Double, false))))
		return nil
	})
	return err == nil && ok
}
