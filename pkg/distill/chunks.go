package distill

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// headTerms sums terms behind a head over n rows from row at on; student is those rows of the student's states.
type headTerms func(c *nn.Context, student *ts.Tensor, at, n int64) []*ts.Tensor

// chunked is the active terms, means over count, whose sums over the rows of the student's states behind head f has. Up to
// ChunkRows rows are one piece of the graph. More are cut into chunks, each of which runs forward and backward at once:
// logits, the teacher's too, exist for one chunk at a time, and none is computed twice.
func (o *Objective) chunked(c *nn.Context, student *ts.Tensor, head nn.Module, active []termWeight, count float64, f headTerms) []train.Term {
	if len(active) == 0 {
		return nil
	}
	rows, size := c.Shape(student)[0], int64(o.cfg.ChunkRows)
	if size == 0 || rows <= size {
		return means(c, active, f(c, student, 0, rows), count)
	}
	k := &chunks{c: c, student: student, active: active, count: count, f: f, rows: rows, size: size, scale: 1}
	if student.DType() == gotch.Half {
		k.scale = underflow
	}
	if !tensor.GradEnabled() {
		k.each(func(in *nn.Context, at, n int64) { k.add(in, f(in, in.Narrow(student, 0, at, n), at, n)) })
		return means(c, active, k.sums, count)
	}
	return k.forwardBackward(trained(c, head))
}

// means makes terms of their sums.
func means(c *nn.Context, active []termWeight, sums []*ts.Tensor, count float64) []train.Term {
	var out []train.Term
	for i, t := range active {
		out = append(out, mean(c, t.key, t.weight, sums[i], count))
	}
	return out
}

// chunks is one head's rows, cut.
type chunks struct {
	c          *nn.Context
	student    *ts.Tensor
	active     []termWeight
	count      float64
	f          headTerms
	rows, size int64
	scale      float64 // of the gradients while they are kept
	sums       []*ts.Tensor
}

// each calls f for every chunk with a context that ends with it.
func (k *chunks) each(f func(in *nn.Context, at, n int64)) {
	for at := int64(0); at < k.rows; at += k.size {
		k.c.Nest(func(in *nn.Context) { f(in, at, min(k.size, k.rows-at)) })
	}
}

// add adds a chunk's sums.
func (k *chunks) add(in *nn.Context, sums []*ts.Tensor) {
	for i, s := range sums {
		s = in.Detach(s)
		if i == len(k.sums) {
			k.sums = append(k.sums, in.Promote(s))
		} else {
			k.sums[i] = in.Promote(in.Add(k.sums[i], s))
		}
	}
}

// underflow is the factor that keeps a chunk's gradients in f16 above its smallest numbers.
const underflow = 4096

// forwardBackward takes the gradient of Σ weight·mean, what these terms are to the loss, chunk by chunk, with respect to
// the student's rows and the head's parameters. The terms are numbers; the first passes on the gradient of all of them,
// in units of its own weight, so that it is right for any multiple of the loss.
func (k *chunks) forwardBackward(params []*ts.Tensor) []train.Term {
	c := k.c
	var states []*ts.Tensor // gradients of the chunks' rows
	grads, err := c.Collect(params, func() (err error) {
		k.each(func(in *nn.Context, at, n int64) {
			if err != nil {
				return
			}
			x := in.Detach(in.Narrow(k.student, 0, at, n))
			in.Check("chunk", tensor.RequireGrad(x, true))
			sums := k.f(in, x, at, n)
			var loss *ts.Tensor
			for i, t := range means(in, k.active, sums, k.count) {
				part := in.MulScalar(t.Value, t.Weight*k.scale)
				if i > 0 {
					part = in.Add(loss, part)
				}
				loss = part
			}
			if err = tensor.Backward(loss); err != nil {
				return
			}
			k.add(in, sums)
			states = append(states, in.Promote(in.Gradient(x)))
		})
		return err
	})
	c.Check("chunk", err)
	terms := means(c, k.active, k.sums, k.count)
	first := &terms[0]
	all := c.Known(c.Zeros(gotch.Float), append(params, k.student), append(grads, c.Cat(0, states...)))
	first.Value = c.StraightThrough(first.Value, c.DivScalar(all, first.Weight*k.scale))
	return terms
}

// trained are the parameters of a module that record gradients.
func trained(c *nn.Context, m nn.Module) (out []*ts.Tensor) {
	for _, p := range nn.Params(m) {
		on, err := p.T.RequiresGrad()
		c.Check("requires_grad", err)
		if on {
			out = append(out, p.T)
		}
	}
	return out
}
