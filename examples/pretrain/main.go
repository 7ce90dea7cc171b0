// Pretrain makes the built-in demo teacher: a small talker of the real architecture, code predictor included, trained
// from scratch on the synthetic language of package demo until its held-out cross-entropy is near the entropy.
//
//	go run ./examples/pretrain -out pkg/demo/teacher
//
// It trains in bfloat16 with float32 masters, writes a checkpoint folder, and prints cross-entropy against entropy for
// each codebook. An interrupted run continues with -resume.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

func main() {
	fs := flag.NewFlagSet("pretrain", flag.ExitOnError)
	f := experiment.Flags{Experiment: "demo-teacher"}
	f.Register(fs)
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, f) }))
}

func run(ctx context.Context, f experiment.Flags) (err error) {
	e, resolved, err := stage.Resolve(f)
	if err != nil {
		return err
	}
	if e.Model != "" || e.Device != "auto" && e.Device != "cpu" {
		return experiment.Usagef("model is %q and device %q, want none and cpu: pretrain starts from nothing, on the CPU", e.Model, e.Device)
	}
	if f.DryRun {
		return stage.PrintValues(os.Stdout, resolved, f.JSON)
	}
	lock, err := fsx.Claim(f.RunDir(), f.Resume)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	settings := filepath.Join(f.RunDir(), "settings")
	if err := os.MkdirAll(settings, 0o755); err != nil {
		return err
	}
	if err := demo.WriteSettings(settings); err != nil {
		return err
	}
	m, err := fresh(e, settings)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := learn(ctx, e, m, f); err != nil {
		return err
	}
	out := f.Out
	if out == "" {
		out = filepath.Join(f.RunDir(), "teacher")
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := demo.WriteSettings(out); err != nil {
		return err
	}
	if err := nn.Save(filepath.Join(out, "model.safetensors"), m, "BF16", nil); err != nil {
		return err
	}
	return judge(ctx, e, m, f.JSON)
}

// fresh is the teacher's architecture with seeded random weights, in the experiment's dtype.
func fresh(e stage.Experiment, settings string) (*talker.Model, error) {
	cfg, err := talker.ReadConfig(settings)
	if err != nil {
		return nil, err
	}
	m, err := talker.New(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := e.Setup(); err != nil {
		return nil, err
	}
	if err := nn.Init(m, e.Seed, 0.3); err != nil {
		return nil, err
	}
	if m.DType, err = e.TensorType(); err != nil {
		return nil, err
	}
	return m, nn.Copy(m, m, m.DType)
}

func learn(ctx context.Context, e stage.Experiment, m *talker.Model, f experiment.Flags) error {
	corpus := demo.New()
	set, err := corpus.Set(demo.Pretrain, uint64(e.Seed), e.Data.DemoDistillation)
	if err != nil {
		return err
	}
	held, err := corpus.Set(demo.Selection, uint64(e.Seed), e.Data.SelectionSize)
	if err != nil {
		return err
	}
	objective, err := distill.New(nil, m, e.Distill)
	if err != nil {
		return err
	}
	e.Train.Seed = e.Seed
	loop := train.Loop{
		Config: e.Train, Objective: objective, Data: set,
		Dir: filepath.Join(f.RunDir(), stage.CheckpointsDir), Resume: f.Resume, Settings: train.SettingsOf(e.Distill),
		Tracker: e.Train.Tracker(filepath.Join(f.RunDir(), stage.MetricsFile), os.Stderr, "pretrain"),
		Evaluate: func(ctx context.Context, _ int) (train.Evaluation, error) {
			s, err := score(ctx, m, held, e.Eval.Batch, demo.Straight)
			if err != nil {
				return train.Evaluation{}, err
			}
			return train.Evaluation{Value: s.total(), Metrics: []track.Value{
				{Name: "held_out", V: s.total()}, {Name: "over_truth", V: s.excess()}}}, nil
		},
	}
	_, err = loop.Run(ctx)
	return err
}

// judge compares the trained teacher with the truth on texts that nothing else has seen.
func judge(ctx context.Context, e stage.Experiment, m *talker.Model, asJSON bool) error {
	held, err := demo.New().Set(demo.Evaluation, uint64(e.Seed), e.Eval.Utterances)
	if err != nil {
		return err
	}
	v, err := verdict(ctx, m, held, e.Eval.Batch)
	if err != nil {
		return err
	}
	if asJSON {
		return report.JSON(os.Stdout, v)
	}
	return v.table().Text(os.Stdout)
}
