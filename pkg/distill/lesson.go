package distill

import (
	"time"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// lesson is what a teacher says about a batch, a few rows at a time, on the student's device. Nothing of it is recorded.
type lesson interface {
	// hidden is the final-normed states of the rows that predict, [M,H].
	hidden(c *nn.Context) *ts.Tensor
	// code0 is about n of these rows, from row at on: over the classes that kl_code0 compares, and the end.
	code0(c *nn.Context, at, n int64) answer
	// codes is about codes 1 … G-1 of n frames.
	codes(c *nn.Context, at, n int64) answer
}

// answer is a distribution for each row: whole, or its most likely classes.
type answer struct {
	logits *ts.Tensor // float32 [...,V]; nil where top has it
	top    *top
	end    *ts.Tensor // logit of the end against going on, [n]; of code 0 only
}

// kl is KL(teacher ‖ student) of each row against the student's float32 logits, at a temperature and without the factor T².
func (a answer) kl(c *nn.Context, student *ts.Tensor, temperature float64) *ts.Tensor {
	if a.top != nil {
		return bucketKLRows(c, *a.top, student, temperature)
	}
	return klRows(c, a.logits, student, temperature)
}

// live is a teacher in memory.
type live struct {
	outputs
	classes Classes
	device  gotch.Device   // the student's
	clock   *time.Duration // of the teacher's work; nil: nobody wants to know
}

// timed adds the time since began to the clock.
func (t live) timed(began time.Time) {
	if t.clock != nil {
		*t.clock += time.Since(began)
	}
}

func (t live) hidden(c *nn.Context) *ts.Tensor { return c.ToDevice(t.outputs.hidden, t.device) }

func (t live) code0(c *nn.Context, at, n int64) (a answer) {
	defer t.timed(time.Now())
	nn.NoGrad(func() {
		all := t.head(c, headLogits, c.Narrow(t.outputs.hidden, 0, at, n))
		some := reachable(c, t.m.Config, all)
		if a.logits = some; t.classes == Full {
			a.logits = all
		}
		a.end = eosLogit(c, some)
	})
	return a
}

func (t live) codes(c *nn.Context, at, n int64) (a answer) {
	defer t.timed(time.Now())
	nn.NoGrad(func() { a.logits = t.head(c, codeLogits, c.Narrow(t.states, 0, at, n)) })
	return a
}

// head evaluates a head of the teacher: unwatched, since watchers watch the student.
func (t live) head(c *nn.Context, head func(*nn.Context, *talker.Model, *ts.Tensor) *ts.Tensor, states *ts.Tensor) *ts.Tensor {
	return c.ToDevice(head(&nn.Context{Scope: c.Scope}, t.m, states), t.device)
}
