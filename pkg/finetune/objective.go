package finetune

import (
	"context"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch/ts"
)

// Objective is the cross-entropy of recorded codes: that of code 0 and the end, and talker.SubWeight times that of the
// others, both means over what an update holds of them. It is a train.Objective.
type Objective struct {
	Model *talker.Model
	Form  talker.Objective
}

// Module is the talker.
func (o *Objective) Module() nn.Module { return o.Model }

// Terms runs the talker and its code predictor over us, teacher-forced.
func (o *Objective) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	b, err := collate(o.Model.Config, us)
	if err != nil {
		return nil, err
	}
	l, err := o.Model.Loss(c, b, o.Form)
	if err != nil {
		return nil, err
	}
	n := train.Count(us)
	share := func(mean *ts.Tensor, part, whole int64) *ts.Tensor {
		return c.MulScalar(mean, float64(part)/float64(whole))
	}
	return []train.Term{
		{Name: "ce_code0", Weight: 1, Value: share(l.Talker, n.Frames+n.Utterances, total.Frames+total.Utterances)},
		{Name: "ce_codes", Weight: talker.SubWeight, Value: share(l.Sub, n.Frames, total.Frames)},
	}, nil
}

// Loss is mean cross-entropies in nats over a set.
type Loss struct {
	Code0 float64 `json:"ce_code0"` // of code 0 and the end
	Codes float64 `json:"ce_codes"` // of the other codes, per code
}

// Total is what training minimizes.
func (l Loss) Total() float64 { return l.Code0 + talker.SubWeight*l.Codes }

// Measure is the loss of m over all of set as decoding would meet it, whatever m was trained with: the aligned form.
func Measure(ctx context.Context, m *talker.Model, set data.List, batch int) (Loss, error) {
	o := &Objective{Model: m, Form: talker.Aligned}
	total := train.Count(set)
	var sum Loss
	for at := 0; at < len(set); at += batch {
		if err := ctx.Err(); err != nil {
			return Loss{}, err
		}
		err := nn.Run(func(c *nn.Context) (err error) {
			var terms []train.Term
			nn.NoGrad(func() { terms, err = o.Terms(c, set[at:min(at+batch, len(set))], total) })
			for i, mean := range []*float64{&sum.Code0, &sum.Codes} {
				if err != nil {
					return err
				}
				var v float64
				v, err = tensor.Scalar(terms[i].Value)
				*mean += v
			}
			return err
		})
		if err != nil {
			return Loss{}, err
		}
	}
	return sum, nil
}
