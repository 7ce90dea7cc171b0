// Train measures the parts of a training step beside those that a researcher would use in PyTorch.
//
//	make bench-train                   # makes the Python environment first
//	go run ./bench/train -python bench/.venv/bin/python
//
// Both sides do the same work on as many threads and take turns in one run; the best of the rounds counts.
// bench/train.json gets one object per row; ratio is how many times better ours is. Below the table of the rows are others
// that say where our time goes in those that missed their goal.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/report"
)

type options struct {
	python, peers, out string
	threads, rounds    int
	params             float64 // millions
	parts              string
	compiled, realtime bool
}

// parts are the sets of rows; rival is the other side of all rows of a set.
var parts = []struct {
	name string
	list func(ctx context.Context, o options) (list []race, rival *contest.Rival, done func() error, err error)
}{{"optim", optimizers}, {"step", steps}}

func main() {
	fs := flag.NewFlagSet("train", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.python, "python", "bench/.venv/bin/python", "Python with bench/requirements-train.txt")
	fs.StringVar(&o.peers, "peers", "bench/peers", "folder of the rivals")
	fs.StringVar(&o.out, "out", "bench/train.json", "file for the results")
	fs.IntVar(&o.threads, "threads", 2, "threads of each side")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds, of which the best counts; at least 5")
	fs.Float64Var(&o.params, "params", 50, "millions of parameters of the optimizers")
	fs.StringVar(&o.parts, "parts", "optim,step", "rows to run: optim, step")
	fs.BoolVar(&o.compiled, "compiled", false, "rows against torch.compile too: minutes more")
	fs.BoolVar(&o.realtime, "realtime", false, "run both sides of the steps before all other programs (SCHED_FIFO; needs the right to)")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, o) }))
}

func run(ctx context.Context, o options) (err error) {
	if o.threads < 1 || o.rounds < 5 || !(o.params >= 1 && o.params <= 1000) {
		return experiment.Usagef("-threads %d -rounds %d -params %v, want at least 1, 5, and 1 to 1000", o.threads, o.rounds, o.params)
	}
	if err := tensor.SetThreads(o.threads); err != nil {
		return err
	}
	fmt.Println(contest.Machine(o.threads))
	rows, missed, err := all(ctx, o)
	if err != nil {
		return err
	}
	return contest.Publish(o.out, os.Stdout, "milliseconds, best of the rounds", rows, missed...)
}

// all runs one part after the other, and profiles what missed its goal.
func all(ctx context.Context, o options) (rows []contest.Row, missed []*report.Table, err error) {
	wanted := strings.Split(o.parts, ",")
	for _, p := range parts {
		if !slices.Contains(wanted, p.name) {
			continue
		}
		list, rival, done, err := p.list(ctx, o)
		var r []contest.Row
		var t []*report.Table
		if err == nil {
			r, err = contest.Run(ctx, os.Stdout, contests(list), o.rounds, rival.PID())
		}
		if err == nil {
			t, err = profiles(ctx, list, r)
		}
		if err := errors.Join(err, done()); err != nil {
			return nil, nil, err
		}
		rows, missed = append(rows, r...), append(missed, t...)
	}
	if len(rows) == 0 {
		return nil, nil, experiment.Usagef("-parts %q, want some of optim, step", o.parts)
	}
	return rows, missed, nil
}
