// Calib measures calibration methods beside straightforward forms of them in PyTorch.
//
//	make bench-calib                   # makes the Python environment first
//	go run ./bench/calib -python bench/.venv/bin/python
//
// Both sides quantize the same weight to INT4, symmetric, in groups of 128, knowing the same inputs, on as many threads. They
// take turns in one run; the best of the rounds counts. bench/calib.json gets one object per row; ratio is how many times
// better ours is. A note tells what each side loses of the layer's output: faster at the price of more loss does not count,
// and such a row is not reached.
package main

import (
	"context"
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
	python, peers, out, methods string
	threads, rounds, steps      int
	realtime                    bool
}

// job is one row.
type job struct {
	method  string
	out, in int64
	rows    int64   // of the input
	goal    float64 // how many times faster, at no more loss
}

var jobs = []job{
	{"rtn", 6144, 2048, 1024, 8},
	{"mse", 6144, 2048, 1024, 20},
	{"gptq", 6144, 2048, 8192, 2.7},
	{"awq", 6144, 2048, 1024, 4},
	{"autoround", 2048, 2048, 8192, 3},
}

func main() {
	fs := flag.NewFlagSet("calib", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.python, "python", "bench/.venv/bin/python", "Python with bench/requirements.txt")
	fs.StringVar(&o.peers, "peers", "bench/peers", "folder of the rivals")
	fs.StringVar(&o.out, "out", "bench/calib.json", "file for the results")
	fs.StringVar(&o.methods, "methods", "rtn,mse,gptq,awq,autoround", "rows to run")
	fs.IntVar(&o.threads, "threads", 2, "threads of each side")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds, of which the best counts, after one to warm up")
	fs.IntVar(&o.steps, "steps", 200, "steps of autoround")
	fs.BoolVar(&o.realtime, "realtime", false, "run both sides before all other programs (SCHED_FIFO; needs the right to)")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, o) }))
}

func run(ctx context.Context, o options) (err error) {
	if o.threads < 1 || o.rounds < 1 || o.steps < 1 {
		return experiment.Usagef("-threads %d -rounds %d -steps %d, want at least 1", o.threads, o.rounds, o.steps)
	}
	wanted := strings.Split(o.methods, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(jobs, func(j job) bool { return j.method == name }) {
			return experiment.Usagef("-methods %q, want some of rtn, mse, gptq, awq, autoround", o.methods)
		}
	}
	if err := tensor.SetThreads(o.threads); err != nil {
		return err
	}
	fmt.Println(contest.Machine(o.threads))
	var rows []contest.Row
	var profiles []*report.Table
	for _, j := range jobs {
		if !slices.Contains(wanted, j.method) {
			continue
		}
		row, missed, err := o.race(ctx, j)
		if err != nil {
			return fmt.Errorf("%s: %w", j.method, err)
		}
		rows = append(rows, row)
		if missed != nil {
			profiles = append(profiles, missed)
		}
	}
	return contest.Publish(o.out, os.Stdout, "milliseconds, best of the rounds", rows, profiles...)
}
