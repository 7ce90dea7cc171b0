// Bench measures what a checkpoint costs here.
//
//	go run ./examples/bench -decode -model models/synth-0.6b-voice-int4 -frames 32
//	go run ./examples/bench -train -experiment qwen3-tts-0.6b-base-w4a8 -model models/synth-0.6b -steps 3 -frames 128
//
// -decode: tokens a second of prompt and speech, milliseconds a frame in talker, code predictor and codec, the time to the
// first packet of sound, what is read from memory and how fast, and peak memory; of a packed checkpoint, and of the same
// one dense in bf16 and float32. Without -model it is the demo's teacher; experiments have no part in it.
//
// -train: time and memory of one update of a distillation, split into its parts, beside the estimate of -dry-run.
// Utterances are random codes of the length asked for, since speed depends on nothing else; so it needs no data, and
// weights may be random (bench/synth). -compare also trains the student unquantized: the difference is the price of fake
// quantization.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

// options beside those of all programs.
type options struct {
	experiment.Flags
	train, decode, compare            bool
	steps, batch, frames, text, chunk int
	threads                           int // of decoding; 0 is libtorch's choice
}

func (o options) validate() error {
	var errs []error
	if o.train == o.decode {
		errs = append(errs, errors.New("want -train or -decode"))
	}
	for _, f := range []struct {
		name string
		n    int
	}{{"steps", o.steps}, {"batch", o.batch}, {"frames", o.frames}, {"text", o.text}, {"chunk", o.chunk}} {
		if f.n < 1 {
			errs = append(errs, fmt.Errorf("-%s is %d, want at least 1", f.name, f.n))
		}
	}
	return errors.Join(errs...)
}

func main() {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	o := options{Flags: experiment.Flags{Experiment: stage.DefaultExperiment}}
	o.Register(fs)
	fs.BoolVar(&o.train, "train", false, "measure updates of the distillation")
	fs.BoolVar(&o.decode, "decode", false, "measure decoding")
	fs.BoolVar(&o.compare, "compare", false, "measure a student without fake quantization too")
	fs.IntVar(&o.steps, "steps", 5, "updates or rounds that are measured, after one that is not")
	fs.IntVar(&o.batch, "batch", 1, "utterances of an update")
	fs.IntVar(&o.frames, "frames", 128, "frames of an utterance")
	fs.IntVar(&o.text, "text", 32, "text tokens of an utterance")
	fs.IntVar(&o.threads, "threads", 0, "threads of decoding; 0 for libtorch's choice")
	fs.IntVar(&o.chunk, "chunk", 25, "frames that the codec decodes at once")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, o) }))
}

func run(ctx context.Context, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.decode {
		return decode(ctx, o)
	}
	e, resolved, err := stage.Resolve(o.Flags)
	if err != nil {
		return err
	}
	if o.DryRun {
		return stage.PrintValues(os.Stdout, resolved, o.JSON)
	}
	w, err := newWork(e, o)
	if err != nil {
		return err
	}
	if w.estimate, err = w.foresee(ctx); err != nil {
		return err
	}
	results := []*result{nil}
	if results[0], err = w.measure(ctx, "fake-quantized", true); err != nil {
		return err
	}
	if o.compare {
		plain, err := w.measure(ctx, "plain", false)
		if err != nil {
			return err
		}
		results = append(results, plain)
	}
	if o.JSON {
		return report.JSON(os.Stdout, struct {
			Results  []*result     `json:"results"`
			Estimate *stage.Memory `json:"estimate"`
		}{results, w.estimate})
	}
	return errors.Join(w.estimate.Table().Text(os.Stdout), table(o, results).Text(os.Stdout))
}

// table has a column per student; times are the best of all steps.
func table(o options, results []*result) *report.Table {
	t := &report.Table{
		Title:   fmt.Sprintf("%s: %d × %d frames, best of %d updates", o.Experiment, o.batch, o.frames, o.steps),
		Columns: []string{"what"},
	}
	row := func(what string, cell func(*result) any) {
		cells := []any{what}
		for _, r := range results {
			cells = append(cells, cell(r))
		}
		t.Add(cells...)
	}
	for _, r := range results {
		t.Columns = append(t.Columns, r.Name)
	}
	ms := func(d time.Duration) any { return float64(d.Microseconds()) / 1000 }
	row("teacher, ms", func(r *result) any { return ms(r.Teacher) })
	row("student forward, ms", func(r *result) any { return ms(r.Forward) })
	row("backward, ms", func(r *result) any { return ms(r.Backward) })
	row("optimizer, ms", func(r *result) any { return ms(r.Optimizer) })
	row("update, ms", func(r *result) any { return ms(r.Update) })
	row("frames/s", func(r *result) any { return float64(o.batch*o.frames) / r.Update.Seconds() })
	row("peak memory", func(r *result) any { return report.Bytes(r.Peak) })
	if len(results) == 2 {
		q, p := results[0], results[1]
		t.Add("fake quantization, ms", ms(q.Forward+q.Backward-p.Forward-p.Backward), "")
	}
	return t
}
