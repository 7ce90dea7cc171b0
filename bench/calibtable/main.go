// Calibtable compares calibration methods over several draws of calibration speech and writes the table of README.md.
//
//	make table-calib                                     # bench/calib-table.json and README.md
//	go run ./bench/calibtable -resume -methods rtn,gptq,NEW      # another row: what is there is not computed again
//	go run ./bench/calibtable -resume -seeds 2 -out ""           # a part of the cells only, such as beside other processes
//
// Every method fits the demo teacher and its outlier twin, in groups of 32 and 128, with float inputs and with INT8 inputs per
// token; asymmetric schemes, the observers of static input scales and INT4 inputs have rows of their own. A seed draws other calibration
// utterances and other held-out ones. Each cell of the grid, one teacher, scheme and seed, has its folder in the run folder
// and is kept there: an interrupted run goes on with -resume.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/experiment"
)

// options are the flags, and the settings that the published table is of.
type options struct {
	Methods      list `json:"methods"`
	Asymmetric   list `json:"asymmetric"`
	Static       list `json:"static"`
	Narrow       list `json:"narrow"`
	Observers    list `json:"observers"`
	Teachers     list `json:"-"`
	Seeds        list `json:"seeds"`
	Calibration  int  `json:"calib.utterances"`
	Evaluation   int  `json:"eval.utterances"`
	threads      int
	run, out, md string
	resume       bool
}

// list is a flag of words between commas.
type list []string

// String joins the words.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set takes them apart; an empty flag is no word.
func (l *list) Set(s string) error {
	*l = nil
	if s != "" {
		*l = strings.Split(s, ",")
	}
	return nil
}

func defaults() options {
	return options{
		Methods:    list{"rtn", "rtn-full", "mse", "imatrix", "clip", "smoothquant", "awq", "autoround", "gptq", "awq-gptq"},
		Asymmetric: list{"rtn", "mse", "imatrix", "hqq", "hqq-imatrix"}, Static: list{"gptq", "awq-gptq"},
		Narrow:    list{"rtn", "rotate", "gptq", "rotate-gptq"},
		Observers: list{"min_max", "moving_average", "percentile", "mse", "entropy"}, Teachers: list{"demo", "twin"},
		Seeds: list{"1", "2", "3"}, Calibration: 64, Evaluation: 64, threads: 1,
		run: "runs/calib-table", out: "bench/calib-table.json", md: "README.md",
	}
}

func main() {
	fs, o := flag.NewFlagSet("calibtable", flag.ContinueOnError), defaults()
	fs.Var(&o.Methods, "methods", "`methods` of symmetric weights, of "+strings.Join(calib.Presets(), ","))
	fs.Var(&o.Asymmetric, "asymmetric", "`methods` of asymmetric weights")
	fs.Var(&o.Static, "static", "`methods` beside static input scales")
	fs.Var(&o.Narrow, "narrow", "`methods` beside INT4 inputs")
	fs.Var(&o.Observers, "observers", "`observers` of static input scales")
	fs.Var(&o.Teachers, "teachers", "`teachers`, of demo,twin")
	fs.Var(&o.Seeds, "seeds", "`seeds`, each a draw of calibration and held-out utterances")
	fs.IntVar(&o.Calibration, "calib", o.Calibration, "calibration utterances")
	fs.IntVar(&o.Evaluation, "eval", o.Evaluation, "held-out utterances")
	fs.IntVar(&o.threads, "threads", o.threads, "threads of the tensor library")
	fs.StringVar(&o.run, "run", o.run, "run `folder`")
	fs.StringVar(&o.out, "out", o.out, "`file` of the numbers; empty: only the run folder is filled")
	fs.StringVar(&o.md, "readme", o.md, "`file` whose table is written anew; empty for none")
	fs.BoolVar(&o.resume, "resume", false, "go on with what the run folder holds")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, o) }))
}

func run(ctx context.Context, o options) error {
	if len(o.Seeds) < 2 && o.out != "" || len(o.Seeds) == 0 || len(o.Teachers) == 0 {
		return experiment.Usagef("-seeds %q -teachers %q, want at least two seeds, which have a spread, and a teacher", o.Seeds.String(), o.Teachers.String())
	}
	if _, err := os.Stat(o.run); err == nil && !o.resume {
		return fmt.Errorf("%s is there already: -resume goes on with it, -run names another folder", o.run)
	}
	results := map[cell]map[string]score{}
	cells := o.cells()
	for i, c := range cells {
		fmt.Fprintf(os.Stderr, "%d of %d: %s\n", i+1, len(cells), c)
		rows, err := o.measure(ctx, c, filepath.Join(o.run, c.String()))
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		results[c] = rows
	}
	if o.out == "" {
		return nil
	}
	t := o.table(results)
	if err := t.write(o.out); err != nil {
		return err
	}
	text, err := t.markdown()
	if err == nil && o.md != "" {
		err = replace(o.md, text)
	}
	_, printed := fmt.Print(text)
	return errors.Join(err, printed)
}
