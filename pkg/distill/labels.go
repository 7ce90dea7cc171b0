package distill

import (
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
)

// Labels trains a talker without a teacher: cross-entropy of code 0 and end of speech, and of codes 1 … G-1 summed over
// the codebooks. Their sum is what a frame costs in nats.
type Labels struct {
	Model *talker.Model
	// CodeWeight weighs ce_codes against ce_code0; 1 minimizes the nats of a frame.
	CodeWeight float64
}

// Module is the talker.
func (o *Labels) Module() nn.Module { return o.Model }

// Terms are ce_code0 and ce_codes; see the package comment.
func (o *Labels) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	l, err := layOut(o.Model.Config, us)
	if err != nil {
		return nil, err
	}
	out := forward(c, o.Model, l, o.CodeWeight != 0)
	n := denominators(total)
	ce := c.Sum(nllRows(c, headLogits(c, o.Model, out.hidden), ints(c, o.Model, l.labels, l.M)))
	terms := []train.Term{{Name: "ce_code0", Weight: 1, Value: c.DivScalar(ce, n.rows)}}
	if out.states != nil {
		ce := c.Sum(nllRows(c, codeLogits(c, o.Model, out.states), l.targets(c, o.Model)))
		terms = append(terms, train.Term{Name: "ce_codes", Weight: o.CodeWeight, Value: c.DivScalar(ce, n.frames)})
	}
	return terms, nil
}

// counts are the denominators of the terms.
type counts struct{ rows, frames float64 }

func denominators(total train.Counts) counts {
	return counts{rows: float64(total.Frames + total.Utterances), frames: float64(total.Frames)}
}
