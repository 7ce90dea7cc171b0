// Prepare makes utterances with codes, to distil or fine-tune with, from recordings or from a teacher's own speech.
//
//	go run ./examples/prepare -model DIR -in recordings.jsonl -out train.jsonl
//	go run ./examples/prepare -model DIR -in texts.jsonl -out train.jsonl -from-teacher -seed 1
//
// A row of recordings has audio and text, for a base checkpoint ref_audio too (a recording of the voice) and maybe ref_text
// (what it says); the result has audio_codes besides, with what prompts need: token ids, speaker_vector, ref_audio_codes.
// With -from-teacher a row has text and a voice (speaker, ref_audio or instruct), and the teacher speaks it: that is the
// best data to distil with. Rows may have id, language and instruct. Rows that cannot be used are skipped and listed.
//
// After Ctrl-C -resume goes on from the last whole batch, to the same bytes. -set temperature=0.7 changes how the teacher
// draws.
package main

import (
	"context"
	"flag"
	"io"
	"os"
	"slices"
	"time"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/prepare"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/tts"
)

type flags struct {
	experiment.Flags
	in, parts, root, dtype string
	layout                 string
	batch, threads         int
	teacher                bool
	seed                   int64
	longest                time.Duration
}

func main() {
	fs := flag.NewFlagSet("prepare", flag.ContinueOnError)
	var f flags
	f.register(fs)
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, os.Stdout, os.Stderr, f) }))
}

func (f *flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.Model, "model", "", "checkpoint `folder`")
	fs.StringVar(&f.parts, "parts", "", "checkpoint `folder` for the parts that -model lacks")
	fs.StringVar(&f.in, "in", "", "JSONL `file` of rows")
	fs.StringVar(&f.Out, "out", "", "JSONL `file` to write")
	fs.StringVar(&f.root, "root", "", "`folder` that relative paths of audio start from (default: the current one)")
	fs.BoolVar(&f.teacher, "from-teacher", false, "let the model speak the texts")
	fs.Int64Var(&f.seed, "seed", 1, "of the teacher's draws")
	fs.StringVar(&f.layout, "layout", "", "how the teacher is shown a text: whole, streaming (default: as the checkpoint is meant)")
	fs.IntVar(&f.batch, "batch", 0, "`rows` at a time (default 32, as the reference encodes recordings; 8 from the teacher)")
	fs.DurationVar(&f.longest, "longest", 0, "skip recordings beyond this `duration` (default: none)")
	fs.StringVar(&f.dtype, "dtype", "float32", "`type` of the teacher's numbers: float32 or bfloat16")
	fs.StringVar(&f.Device, "device", "auto", "`device`: auto, cpu, cuda:0")
	fs.IntVar(&f.threads, "threads", 0, "of the tensor library (0: one per core)")
	fs.BoolVar(&f.Resume, "resume", false, "go on with what an interrupted run left")
	fs.BoolVar(&f.JSON, "json", false, "print the summary as one JSON object on stdout")
	fs.Func("set", "change how the teacher draws: `key=value` (repeatable)", func(s string) error {
		f.Set = append(f.Set, s)
		return nil
	})
}

func (f *flags) check() error {
	switch {
	case f.Model == "":
		return experiment.Usagef("-model is missing, want a checkpoint folder")
	case f.in == "":
		return experiment.Usagef("-in is missing, want a JSONL file of rows")
	case f.Out == "":
		return experiment.Usagef("-out is missing, want the JSONL file to write")
	case !slices.Contains(tts.Layouts(), tts.Layout(f.layout)):
		return experiment.Usagef("-layout is %q, want one of %q", f.layout, tts.Layouts()[1:])
	case f.batch < 0:
		return experiment.Usagef("-batch is %d, want at least 1", f.batch)
	case !f.teacher && (len(f.Set) > 0 || f.layout != ""):
		return experiment.Usagef("-set and -layout say how a teacher speaks: want -from-teacher with them")
	case f.teacher && f.longest != 0:
		return experiment.Usagef("-longest is of recordings; -set max_new_tokens=N limits a teacher")
	}
	return nil
}

func run(ctx context.Context, w, log io.Writer, f flags) error {
	if err := f.check(); err != nil {
		return err
	}
	o, err := options(f)
	if err != nil {
		return err
	}
	job := prepare.Job{In: f.in, Out: f.Out, Batch: f.batch, Resume: f.Resume, Track: track.NewProgress(log, "prepare", 1)}
	var listener *tts.Listener
	if f.teacher {
		s, err := tts.OpenSilent(f.Model, o)
		if err != nil {
			return err
		}
		defer s.Close()
		s.Sampling.Seed = f.seed
		if err := experiment.Overlay(&s.Sampling, f.Set); err != nil {
			return err
		}
		listener = s.Listener
		job.Maker = &prepare.Teacher{Synthesizer: s, Dir: f.root, Sampling: s.Sampling, Layout: tts.Layout(f.layout)}
	} else {
		if listener, err = tts.OpenListener(f.Model, o); err != nil {
			return err
		}
		defer listener.Close()
		job.Maker = &prepare.Recordings{Listener: listener, Dir: f.root, Longest: f.longest}
	}
	if job.Batch == 0 {
		if job.Batch = prepare.BatchOfReference; f.teacher {
			job.Batch = 8
		}
	}
	if job.Frame, err = listener.FrameDuration(); err != nil {
		return err
	}
	summary, err := job.Run(ctx)
	if summary == nil {
		return err
	}
	if shown := show(w, summary, f.JSON); err == nil {
		err = shown
	}
	return err
}

func options(f flags) (o tts.Options, err error) {
	e := stage.Experiment{DType: f.dtype, Device: f.Device, Threads: f.threads}
	if o.DType, err = e.TensorType(); err != nil {
		return o, experiment.Usagef("-%w", err)
	}
	o.Parts = f.parts
	o.Device, err = e.Setup()
	return o, err
}

func show(w io.Writer, s *prepare.Summary, asJSON bool) error {
	if asJSON {
		return report.JSON(w, s)
	}
	if t := s.Reasons(); t != nil {
		if err := t.Text(w); err != nil {
			return err
		}
	}
	return s.Durations().Text(w)
}
