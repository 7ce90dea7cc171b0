package train

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/track"
	"github.com/sugarme/gotch/ts"
)

// mean is a term as it is logged: the step's mean, before the weight.
type mean struct {
	name   string
	weight float64
	value  float64
}

// step takes the data of one update, accumulates its gradient, applies it and says what to log.
func (r *run) step() (track.Step, error) {
	batches, total, err := r.Config.take(r.sampler, r.state.Position)
	if err != nil {
		return track.Step{}, err
	}
	var terms []mean
	for _, us := range batches {
		share, err := r.accumulate(us, total)
		if err != nil {
			return track.Step{}, err
		}
		if terms, err = addTerms(terms, share); err != nil {
			return track.Step{}, err
		}
	}
	values := []track.Value{{Name: "loss"}}
	for _, t := range terms {
		values[0].V += t.weight * t.value
		values = append(values, track.Value{Name: t.name, V: t.value})
	}
	applied, err := r.update()
	if err != nil {
		return track.Step{}, err
	}
	r.state.Step++
	r.state.Position += len(batches)
	r.state.Frames += total.Frames
	return track.Step{Step: int64(r.state.Step), Tokens: total.Frames, Values: append(values, applied...)}, nil
}

// accumulate runs one micro-batch forward and backward and returns its terms.
func (r *run) accumulate(us []data.Utterance, total Counts) (terms []mean, err error) {
	err = nn.Run(func(c *nn.Context) error {
		var loss *ts.Tensor
		// The inner context ends before the backward pass: of the forward pass, only what the graph needs stays.
		c.Nest(func(in *nn.Context) {
			in.Recompute = r.Config.GradientCheckpointing
			if loss, terms, err = r.forward(in, us, total); err == nil {
				in.Promote(loss)
			}
		})
		if err != nil {
			return err
		}
		if scale := r.opt.LossScale(); scale != 1 {
			loss = c.MulScalar(loss, scale)
		}
		return tensor.Backward(loss)
	})
	var bad *NonFiniteError
	if err != nil && !errors.As(err, &bad) {
		err = fmt.Errorf("train: step %d: %w", r.state.Step+1, err)
	}
	return terms, err
}

// forward is the weighted loss of a micro-batch, and its terms.
func (r *run) forward(c *nn.Context, us []data.Utterance, total Counts) (loss *ts.Tensor, terms []mean, err error) {
	parts, err := r.Objective.Terms(c, us, total)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range parts {
		v, err := tensor.Scalar(t.Value)
		if err != nil {
			return nil, nil, fmt.Errorf("loss term %q: %w", t.Name, err)
		}
		if !finite(v) {
			return nil, nil, r.nonFinite(fmt.Sprintf("loss term %q", t.Name), v, us, total)
		}
		terms = append(terms, mean{t.Name, t.Weight, v})
		loss = t.addTo(c, loss)
	}
	if loss == nil {
		return nil, nil, errors.New("no loss term has a weight")
	}
	return loss, terms, nil
}

func (r *run) nonFinite(what string, v float64, us []data.Utterance, total Counts) error {
	return &NonFiniteError{Step: r.state.Step + 1, What: what, Value: v, Layer: blame(r.Objective, us, total)}
}

// addTerms adds the shares of a micro-batch to those before it.
func addTerms(sum, share []mean) ([]mean, error) {
	if sum == nil {
		return share, nil
	}
	if len(sum) != len(share) {
		return nil, fmt.Errorf("train: %d loss terms after %d in one step", len(share), len(sum))
	}
	for i, v := range share {
		sum[i].value += v.value
	}
	return sum, nil
}
