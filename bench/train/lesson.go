package main

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// The loss of distillation is cross entropy plus T²·KL(teacher, student) at this temperature T, means over rows.
const temperature = 2.0

// chunkRows is how many rows' logits exist at a time.
const chunkRows = 128

// lesson is what a teacher says: its states behind its head, or its logits as they were once kept.
type lesson struct {
	teacher *model
	logits  *ts.Tensor // [B·T,V] float16, as package distill keeps exact logits; nil: the teacher runs in each step
}

// newLesson has a teacher of dtype. With cached it runs once, here.
func newLesson(s shape, dtype gotch.DType, cached bool) (l *lesson, err error) {
	t, err := newModel(s, dtype, 2, nil)
	if err != nil || !cached {
		return &lesson{teacher: t}, err
	}
	defer nn.Close(t)
	l = &lesson{}
	err = nn.Run(func(c *nn.Context) error {
		nn.NoGrad(func() {
			x, _ := t.batch(c)
			l.logits = c.Release(c.To(t.logits(c, t.hidden(c, x)), gotch.Half))
		})
		return nil
	})
	return l, err
}

func (l *lesson) close() {
	if l.teacher != nil {
		nn.Close(l.teacher)
	}
	if l.logits != nil {
		l.logits.Drop()
	}
}

// states runs the teacher over tokens x, unrecorded: [B·T,H]. It is nil where the logits are kept.
func (l *lesson) states(c *nn.Context, x *ts.Tensor) (h *ts.Tensor) {
	if l.logits != nil {
		return nil
	}
	c.Nest(func(in *nn.Context) { nn.NoGrad(func() { h = in.Promote(l.teacher.hidden(in, x)) }) })
	return h
}

// rows is n float32 logits [n,V] from row at on.
func (l *lesson) rows(c *nn.Context, states *ts.Tensor, at, n int64) (y *ts.Tensor) {
	nn.NoGrad(func() {
		if l.logits != nil {
			y = c.To(c.Narrow(l.logits, 0, at, n), gotch.Float)
		} else {
			y = l.teacher.logits(c, c.Narrow(states, 0, at, n))
		}
	})
	return y
}

// follow is a step of distillation; gradients are dropped.
func (m *model) follow(l *lesson) (ms, loss float64, err error) {
	return m.timed(func(c *nn.Context) (*ts.Tensor, error) { return m.distill(c, l) })
}

// distill is the loss of following l, which it passes backward.
func (m *model) distill(c *nn.Context, l *lesson) (*ts.Tensor, error) {
	x, y := m.batch(c)
	taught := l.states(c, x)
	h := m.hidden(c, x)
	loss, grad, err := m.behindHead(c, l, h, taught, y)
	if err != nil {
		return nil, err
	}
	return loss, tensor.BackwardFrom([]*ts.Tensor{h}, []*ts.Tensor{grad})
}

// behindHead is the loss of states h [B·T,H] and its gradient, chunk by chunk, as package distill does it: the logits of
// both models exist for one chunk at a time. The head's gradient is added up.
func (m *model) behindHead(c *nn.Context, l *lesson, h, taught, y *ts.Tensor) (loss, grad *ts.Tensor, err error) {
	rows := m.shape.batch * m.shape.length
	sum, parts := 0.0, []*ts.Tensor{}
	for at := int64(0); at < rows && err == nil; at += chunkRows {
		c.Nest(func(in *nn.Context) {
			n := min(chunkRows, rows-at)
			x := in.Detach(in.Narrow(h, 0, at, n))
			in.Check("chunk", tensor.RequireGrad(x, true))
			part := in.DivScalar(distance(in, l.rows(in, taught, at, n), m.logits(in, x), in.Narrow(y, 0, at, n)), float64(rows))
			if err = tensor.Backward(part); err != nil {
				err = fmt.Errorf("chunk at row %d: %w", at, err)
				return
			}
			v, e := tensor.Scalar(in.Detach(part))
			sum, err = sum+v, e
			parts = append(parts, in.Promote(in.Gradient(x)))
		})
	}
	if err != nil {
		return nil, nil, err
	}
	return c.Full(gotch.Float, sum), c.Cat(0, parts...), nil
}

// distance is the loss, summed over rows, of student logits [n,V] against the teacher's and the next tokens y [n,1].
func distance(c *nn.Context, teacher, student, y *ts.Tensor) *ts.Tensor {
	lt := c.LogSoftmax(c.DivScalar(teacher, temperature), -1)
	ls := c.LogSoftmax(c.DivScalar(student, temperature), -1)
	kl := c.MulScalar(c.Sum(c.Mul(c.Exp(lt), c.Sub(lt, ls))), temperature*temperature)
	return c.Sub(kl, c.Sum(c.Gather(c.LogSoftmax(student, -1), -1, y)))
}
