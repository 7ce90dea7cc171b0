package train

import (
	"errors"

	"github.com/qakd/qakd/internal/tensor"
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

// addTo is loss (nil: nothing yet) and this term, with its weight; a term of weight 0 adds nothing.
func (t Term) addTo(c *nn.Context, loss *ts.Tensor) *ts.Tensor {
	if t.Weight == 0 {
		return loss
	}
	part := c.MulScalar(t.Value, t.Weight)
	if loss == nil {
		return part
	}
	return c.Add(loss, part)
}

// Loss is Σ weight·value over the terms of a micro-batch that is a step of its own, for measurements of a step's parts;
// recompute is Config.GradientCheckpointing. The result belongs to c; of the forward pass, only what the graph needs stays.
func Loss(c *nn.Context, o Objective, us []data.Utterance, recompute bool) (loss *ts.Tensor, err error) {
	c.Nest(func(in *nn.Context) {
		in.Recompute = recompute
		var terms []Term
		if terms, err = o.Terms(in, us, Count(us)); err != nil {
			return
		}
		for _, t := range terms {
			loss = t.addTo(in, loss)
		}
		if loss == nil {
			err = errors.New("train: no loss term has a weight")
			return
		}
		in.Promote(loss)
	})
	return loss, err
}

// Backward runs Loss and its backward pass: gradients add up in the parameters that record them.
func Backward(o Objective, us []data.Utterance, recompute bool) error {
	return nn.Run(func(c *nn.Context) error {
		loss, err := Loss(c, o, us, recompute)
		if err != nil {
			return err
		}
		return tensor.Backward(loss)
	})
}
