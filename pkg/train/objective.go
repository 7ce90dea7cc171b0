package train

import (
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Counts are the denominators of a step's means.
type Counts struct {
	Utterances int64
	Frames     int64 // audio frames; with one end of speech per utterance there are Frames+Utterances predictions
}

// Count adds up us.
func Count(us []data.Utterance) Counts {
	n := Counts{Utterances: int64(len(us))}
	for _, u := range us {
		n.Frames += int64(u.Frames())
	}
	return n
}

// Plus is the sum of both.
func (n Counts) Plus(m Counts) Counts {
	return Counts{Utterances: n.Utterances + m.Utterances, Frames: n.Frames + m.Frames}
}

// Term is one summand of the loss, logged under its own name.
type Term struct {
	Name   string
	Weight float64
	Value  *ts.Tensor // one element, float32, before the weight
}

// Objective is what a training minimizes: Σ weight·value over its terms.
type Objective interface {
	// Module holds the parameters; those that are not frozen are trained.
	Module() nn.Module
	// Terms runs a forward pass over a micro-batch. Each value is the micro-batch's share of the step's mean: a sum
	// over us divided by a count of total, so that the values of a step's micro-batches add up to the mean.
	Terms(c *nn.Context, us []data.Utterance, total Counts) ([]Term, error)
}
