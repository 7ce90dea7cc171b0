package main

import (
	"fmt"
	"time"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
)

// profileRuns is how often each part runs; the best counts.
const profileRuns = 5

// profile says where the time of a method that missed its goal goes, ours ms in all: to the inputs' products with one another,
// to what autoround does before its second step, and to the rest.
func (l *layer) profile(c *nn.Context, o options, ours float64) (*report.Table, error) {
	t := &report.Table{
		Title:   fmt.Sprintf("where the time goes: %s", l.method),
		Columns: []string{"part", "ms", "share %", "ns per weight"},
	}
	rest := ours
	add := func(part string, ms float64) {
		rest -= ms
		t.Add(part, ms, 100*ms/ours, 1e6*ms/float64(l.out*l.in))
	}
	gram := 0.0
	if l.method == "gptq" || l.method == "awq" || l.method == "autoround" {
		gram = best(func() { c.Nest(func(in *nn.Context) { calib.Product(in.Scope, l.x) }) })
		add("product xᵀx", gram)
	}
	if l.method == "autoround" {
		o.steps = 1
		var err error
		first := best(func() {
			c.Nest(func(in *nn.Context) {
				if _, _, _, failed := l.fit(in, o); failed != nil {
					err = failed
				}
			})
		})
		if err != nil {
			return nil, err
		}
		add("products with all of the Gram matrix, one step", first-gram)
	}
	add("the rest", rest)
	return t, nil
}

// best is the least time of f in ms.
func best(f func()) (ms float64) {
	for i := range profileRuns {
		began := time.Now()
		f()
		if took := float64(time.Since(began).Nanoseconds()) / 1e6; i == 0 || took < ms {
			ms = took
		}
	}
	return ms
}
