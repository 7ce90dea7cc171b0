package main

import (
	"context"
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
	"github.com/sugarme/gotch/ts"
)

// rung is a way to compute the projections, with one thing more than the one before.
type rung struct {
	name string
	v    variant
}

// ladder leads from float projections to v's.
func (v variant) ladder() []rung {
	at := variant{dtype: v.dtype}
	out := []rung{{"projections as floats", at}}
	add := func(name string) { out = append(out, rung{name, at}) }
	if v.group > 0 {
		at.group, at.weightOnly = v.group, true
		add("+ fake quantization of weights")
		at.weightOnly = false
		add("+ quantization of their inputs")
	}
	if v.integer {
		at.integer = true
		add("+ integer products forward")
	}
	if v.bf16Back {
		at.bf16Back = true
		add("+ bf16 products backward")
	}
	return out
}

// profile times the parts of v's step alone. What the step takes beyond them is the rest: residual sums, the embedding,
// dropped gradients, and caches that are colder in a whole step.
func (g *garage) profile(v variant) profile {
	return profile{v.String(), func(context.Context, float64) (*report.Table, error) {
		m, err := g.model(v)
		if err != nil {
			return nil, err
		}
		whole, err := bestOf(func() (float64, error) { return g.run(v) })
		if err != nil {
			return nil, err
		}
		t := &report.Table{Columns: []string{"part, timed alone", "forward ms", "backward ms", "sum ms", "of the step"}}
		rest := whole
		add := func(name string, c cost) {
			sum := c.forward + c.backward
			rest -= sum
			t.Add(name, ms(c.forward), ms(c.backward), ms(sum), fmt.Sprintf("%.0f%%", 100*sum/whole))
		}
		ending := "head and loss"
		if v.lesson != alone {
			ending += ", forward and backward by turns"
		}
		if err := g.climb(v, add); err != nil {
			return nil, err
		}
		for _, part := range []struct {
			name string
			cost func() (cost, error)
		}{
			{"attention without projections", m.attention}, {"SwiGLU without projections", m.gates}, {"norms", m.norms},
			{ending, func() (cost, error) { return g.ending(v, m) }},
		} {
			c, err := part.cost()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", part.name, err)
			}
			add(part.name, c)
		}
		if v.taught() {
			l, err := g.lesson(v)
			if err != nil {
				return nil, err
			}
			c, err := l.cost()
			if err != nil {
				return nil, err
			}
			add("teacher without its head", c)
		}
		t.Add("rest", "", "", ms(rest), fmt.Sprintf("%.0f%%", 100*rest/whole))
		t.Add("step", "", "", ms(whole), "100%")
		return t, nil
	}}
}

func ms(v float64) string { return fmt.Sprintf("%.1f", v) }

// climb adds what each rung costs beyond the one before, which may be less than nothing.
func (g *garage) climb(v variant, add func(name string, c cost)) error {
	var before cost
	for _, r := range v.ladder() {
		m, err := r.v.build(g.shape)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		c, err := m.projections()
		nn.Close(m)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		add(r.name, c.less(before))
		before = c
	}
	return nil
}

// ending is the head and the loss of v, the teacher's head too.
func (g *garage) ending(v variant, m *model) (cost, error) {
	if v.lesson == alone {
		return m.ending()
	}
	l, err := g.lesson(v)
	if err != nil {
		return cost{}, err
	}
	// Forward and backward take turns, chunk by chunk: they are one time.
	ms, err := bestOf(func() (float64, error) {
		ms, _, err := m.timed(func(c *nn.Context) (*ts.Tensor, error) {
			_, y := m.batch(c)
			n := m.shape.batch * m.shape.length
			loss, _, err := m.behindHead(c, l, c.To(c.Randn(n, m.shape.hidden), m.dtype), l.random(c, n), y)
			return loss, err
		})
		return ms, err
	})
	return cost{forward: ms}, err
}

// random stands for the teacher's states; nil where none run.
func (l *lesson) random(c *nn.Context, n int64) *ts.Tensor {
	if l.logits != nil {
		return nil
	}
	return c.To(c.Randn(n, l.teacher.shape.hidden), l.teacher.dtype)
}

// cost is the teacher's blocks.
func (l *lesson) cost() (cost, error) {
	ms, err := bestOf(func() (float64, error) {
		ms, _, err := l.teacher.timed(func(c *nn.Context) (*ts.Tensor, error) {
			x, _ := l.teacher.batch(c)
			return c.Narrow(c.Reshape(l.states(c, x), -1), 0, 0, 1), nil
		})
		return ms, err
	})
	return cost{forward: ms}, err
}
