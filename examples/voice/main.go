// Voice makes the built-in demo teacher's speech tokenizer: a small codec of the published architecture, trained from
// scratch on the sound of the synthetic language (package demo), which is written down like its probabilities.
//
//	go run ./examples/voice -out pkg/demo/teacher/speech_tokenizer
//
// The decoder learns the samples of true codes, the encoder the codes of true samples. At the end it prints how much of
// the decoded speech a listener understands who knows only the true sounds. With -model it measures a codec that is
// there. An interrupted run continues with -resume.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/train"
)

func main() {
	fs := flag.NewFlagSet("voice", flag.ContinueOnError)
	f := experiment.Flags{Run: filepath.Join("runs", "voice")}
	fs.StringVar(&f.Model, "model", "", "measure the codec in this `folder` instead of training one")
	fs.StringVar(&f.Out, "out", "", "`folder` of the result (default: speech_tokenizer in the run folder)")
	fs.StringVar(&f.Run, "run", f.Run, "run `folder`")
	fs.BoolVar(&f.Resume, "resume", false, "continue what the run folder holds")
	fs.BoolVar(&f.JSON, "json", false, "print the result as one JSON object on stdout")
	fs.Func("set", "override a value: `key=value` (repeatable)", func(s string) error {
		f.Set = append(f.Set, s)
		return nil
	})
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, f) }))
}

func run(ctx context.Context, f experiment.Flags) (err error) {
	if f.Model != "" && (f.Out != "" || f.Resume) {
		return experiment.Usagef("-model %s is measured, not made: want no -out and no -resume", f.Model)
	}
	s := defaults()
	if err := experiment.Overlay(&s, f.Set); err != nil {
		return err
	}
	threads := s.Threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	if err := tensor.SetThreads(threads); err != nil {
		return err
	}
	dir := f.Model
	if dir == "" {
		if dir, err = create(ctx, s, f); err != nil {
			return err
		}
	}
	v, err := judge(ctx, dir)
	if err != nil {
		return err
	}
	if f.JSON {
		return report.JSON(os.Stdout, v)
	}
	return v.table().Text(os.Stdout)
}

// create trains both halves and saves the codec in the folder that it returns.
func create(ctx context.Context, s settings, f experiment.Flags) (dir string, err error) {
	lock, err := fsx.Claim(f.Run, f.Resume)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	m, err := codec.New(codecConfig(), codec.Both)
	if err != nil {
		return "", err
	}
	defer m.Close()
	corpus := demo.New()
	if err := initialize(m, corpus, s.Seed); err != nil {
		return "", err
	}
	set, err := corpus.Set(demo.Pretrain, uint64(s.Seed), s.Utterances)
	if err != nil {
		return "", err
	}
	for _, half := range []struct {
		name      string
		config    train.Config
		objective train.Objective
	}{
		{"decoder", s.Decoder, &speaking{m, corpus, s.Spectrum}},
		{"encoder", s.Encoder, &hearing{m, corpus, s.Codes}},
	} {
		half.config.Seed = s.Seed
		loop := train.Loop{
			Config: half.config, Objective: half.objective, Data: set, Dir: filepath.Join(f.Run, half.name), Resume: f.Resume,
			Settings: train.Settings{"utterances": fmt.Sprint(s.Utterances), "spectrum": fmt.Sprint(s.Spectrum), "codes": fmt.Sprint(s.Codes)},
			Tracker:  half.config.Tracker(filepath.Join(f.Run, half.name+".jsonl"), os.Stderr, half.name),
		}
		if _, err := loop.Run(ctx); err != nil {
			return "", err
		}
	}
	dir = f.Out
	if dir == "" {
		dir = filepath.Join(f.Run, "speech_tokenizer")
	}
	return dir, m.Save(dir, "BF16")
}
