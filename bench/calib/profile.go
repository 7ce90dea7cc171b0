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

// profile says where the time of autoround goes, ours ms in all: what its products of matrices take by themselves, and how
// fast they are. The rival's step has two products, forward and backward, on as many rows as the weight is wide; ours has
// one, so twice as fast is what the products alone would give.
func (l *layer) profile(c *nn.Context, steps int, ours float64) *report.Table {
	var gram, product float64
	c.Nest(func(in *nn.Context) {
		d, h := in.Randn(l.out, l.in), in.Randn(l.in, l.in)
		gram = best(func() { in.Nest(func(in *nn.Context) { calib.Product(in.Scope, l.x) }) })
		product = best(func() { in.Nest(func(in *nn.Context) { in.Matmul(d, h) }) })
	})
	t := &report.Table{
		Title:   fmt.Sprintf("where the time goes: %s, %d steps", l.method, steps),
		Columns: []string{"part", "times", "ms", "share %", "GFLOP/s"},
	}
	n := float64(steps + 1)
	t.Add("products (w - value)·H", steps+1, n*product, 100*n*product/ours, 2e-6*float64(l.out*l.in*l.in)/product)
	t.Add("product xᵀx", 1, gram, 100*gram/ours, 1e-6*float64(l.rows*l.in*l.in)/gram)
	rest := ours - n*product - gram
	t.Add("codes, slopes, loss", "", rest, 100*rest/ours, "")
	return t
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
