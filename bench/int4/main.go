// Int4 measures packed INT4 weights beside the programs that people run them with: products, the talker, its code
// predictor, the codec, whole speech, opening and packing.
//
//	make bench-int4                    # makes the Python environment and the models first
//	go run ./bench/int4 -parts linear -rounds 7
//
// Both sides do the same work on as many threads and take turns in one run; the best of the rounds counts. A row's name
// says what is computed, its shape and group, and who the rival is. bench/int4.json gets one object per row; ratio is how
// many times better ours is. Where a rival is the memory, ratio is the share of its speed that ours reaches. A rival that
// cannot be had or does not run here leaves a row that says so, and goals that were set on a CPU with AMX say where AMX is
// missing. Below the table are others that say where our time goes in those that missed their goal.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/experiment"
)

type options struct {
	python, peers, models, out string
	threads, rounds            int
	parts                      string
	only                       *regexp.Regexp // of rows; nil: all
	frames                     int            // of whole speech
	realtime                   bool
}

// parts are the sets of rows.
var parts = []struct {
	name string
	run  func(ctx context.Context, b *bench) error
}{
	{"linear", linears}, {"talker", talkers}, {"codec", codecs}, {"speech", speeches}, {"open", opening}, {"pack", packing},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

func main() {
	fs := flag.NewFlagSet("int4", flag.ContinueOnError)
	var o options
	all := strings.Join(partNames(), ",")
	fs.StringVar(&o.python, "python", "bench/.venv/bin/python", "Python with bench/requirements-int4.txt")
	fs.StringVar(&o.peers, "peers", "bench/peers", "folder of the rivals")
	fs.StringVar(&o.models, "models", "models", "folder of checkpoints of random weights, and of what is made of them")
	fs.StringVar(&o.out, "out", "bench/int4.json", "file for the results")
	fs.IntVar(&o.threads, "threads", 2, "threads of each side")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds, of which the best counts; at least 5")
	fs.IntVar(&o.frames, "frames", 126, "frames of whole speech, of 80 ms")
	fs.StringVar(&o.parts, "parts", all, "rows to run: some of "+all)
	fs.Func("only", "run those rows only whose name this `regexp` matches, such as 'M=1 .*llama' or vox", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	fs.BoolVar(&o.realtime, "realtime", true, "run both sides before all other programs where that is permitted (SCHED_FIFO)")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, o) }))
}

func run(ctx context.Context, o options) (err error) {
	if o.threads < 1 || o.rounds < 5 || o.frames < 16 {
		return experiment.Usagef("-threads %d -rounds %d -frames %d, want at least 1, 5 and 16", o.threads, o.rounds, o.frames)
	}
	wanted := strings.Split(o.parts, ",")
	for _, w := range wanted {
		if !slices.Contains(partNames(), w) {
			return experiment.Usagef("-parts %q, want some of %s", o.parts, strings.Join(partNames(), ", "))
		}
	}
	if err := tensor.SetThreads(o.threads); err != nil {
		return err
	}
	fmt.Println(contest.Machine(o.threads))
	b := &bench{o: o}
	defer func() { err = errors.Join(err, b.close()) }()
	var failed []error // the rows of other parts are worth having
	for _, p := range parts {
		if !slices.Contains(wanted, p.name) || ctx.Err() != nil {
			continue
		}
		if err := p.run(ctx, b); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.name, err))
			fmt.Println(failed[len(failed)-1])
		}
	}
	if len(b.rows) == 0 {
		return errors.Join(failed...)
	}
	if err := contest.Publish(o.out, os.Stdout, "milliseconds, best of the rounds", b.rows, b.missed...); err != nil {
		return err
	}
	fmt.Println(contest.Machine(o.threads))
	return errors.Join(append(failed, ctx.Err())...)
}
