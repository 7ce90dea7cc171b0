// Finetune teaches a base checkpoint one new speaker, from recordings as examples/prepare encodes them.
//
//	go run ./examples/finetune -experiment finetune-0.6b -set finetune.data=ada.jsonl -set finetune.speaker=ada
//
// A line of the file is {"audio":…,"text":…,"ref_audio":…,"audio_codes":[[…],…]}; ref_audio, best the same everywhere, is
// the clip that the voice is taken from. After every epoch <run>/checkpoint-epoch-N, from 0, is a whole checkpoint of type
// custom_voice that speaks with the new name; -out copies the last one. Ctrl-C finishes the update and saves; -resume goes
// on.
package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/finetune"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

func main() {
	fs := flag.NewFlagSet("finetune", flag.ContinueOnError)
	f := experiment.Flags{Experiment: "finetune-1.7b"}
	f.Register(fs)
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, f) }))
}

func run(ctx context.Context, f experiment.Flags) (err error) {
	s, resolved, err := resolve(f)
	if err != nil {
		return err
	}
	if f.DryRun {
		return stage.PrintValues(os.Stdout, resolved, f.JSON)
	}
	if err := stage.Vacant(f.Out); err != nil {
		return err
	}
	lock, err := fsx.Claim(f.RunDir(), f.Resume, finetune.StatesDir, finetune.CheckpointDir(0))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if err := keep(resolved, f.RunDir()); err != nil {
		return err
	}
	result, err := train(ctx, s, f)
	if err != nil {
		return err
	}
	if f.Out != "" {
		last := result.Checkpoints[len(result.Checkpoints)-1]
		if err := fsx.PublishDir(f.Out, func(tmp string) error { return os.CopyFS(tmp, os.DirFS(last)) }); err != nil {
			return err
		}
	}
	if f.JSON {
		return report.JSON(os.Stdout, result)
	}
	return result.Table(s.Finetune.Speaker).Text(os.Stdout)
}

func train(ctx context.Context, s *settings, f experiment.Flags) (*finetune.Result, error) {
	device, err := s.machine().Setup()
	if err != nil {
		return nil, err
	}
	dtype, err := s.machine().TensorType()
	if err != nil {
		return nil, err
	}
	job := finetune.Job{
		Source: s.Model, Config: s.Finetune, Seed: s.Seed, Dir: f.RunDir(), Resume: f.Resume, Log: os.Stderr,
	}
	if err := read(&job, device); err != nil {
		return nil, err
	}
	if job.Model, err = talker.Load(s.Model, talker.Options{DType: dtype, Device: device}); err != nil {
		return nil, err
	}
	defer job.Model.Close()
	return job.Run(ctx)
}

// read fills in the utterances, before the model takes its memory.
func read(job *finetune.Job, device gotch.Device) (err error) {
	cfg, err := talker.ReadConfig(job.Source)
	if err != nil {
		return err
	}
	r := finetune.Reader{Source: job.Source, Root: job.Config.Root, Config: cfg, Device: device, Log: job.Log}
	defer r.Close()
	if job.Rows, err = r.Read(job.Config.Data); err != nil {
		return err
	}
	if job.Config.Validation != "" {
		job.Held, err = r.Read(job.Config.Validation)
	}
	return err
}
