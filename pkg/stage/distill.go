package stage

import (
	"context"
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

// Distill trains the student of the stage before against the teacher and writes <run>/distilled: the checkpoint with the lowest
// held-out KL. <run>/checkpoints and <run>/metrics.jsonl let an interrupted run go on.
func (r *Run) Distill(ctx context.Context) error {
	if r.has(DistilledDir) {
		r.logf("distill: %s is there", r.path(DistilledDir))
		return nil
	}
	from, name := r.start()
	if !r.has(from) {
		return fmt.Errorf("%s is not there: run the %s stage first", r.path(from), name)
	}
	student, err := r.load(r.path(from))
	if err != nil {
		return err
	}
	defer student.Close()
	if _, err := r.trainStudent(ctx, student); err != nil {
		return err
	}
	if _, err := train.Load(r.path(CheckpointsDir+"/"+train.BestDir), student); err != nil {
		return err
	}
	return qat.SaveStudent(r.path(DistilledDir), student, qat.SaveOptions{Source: r.source})
}

// training is the loop's configuration with the run's seed.
func (e Experiment) training() train.Config {
	e.Train.Seed = e.Seed
	return e.Train
}

// objective is what the student learns from: the teacher, or what it said. The caller calls done.
func (r *Run) objective(ctx context.Context, student *talker.Model, set data.Set) (o *distill.Objective, done func() error, err error) {
	cfg := r.Experiment.Distill
	if !cfg.Cache.On() {
		o, err = distill.New(r.Teacher, student, cfg)
		return o, func() error { return nil }, err
	}
	cache, err := r.listen(ctx, set)
	if err != nil {
		return nil, nil, err
	}
	if o, err = distill.NewCached(cache, student, cfg); err != nil {
		return nil, nil, errors.Join(err, cache.Close())
	}
	r.dismiss()
	return o, cache.Close, nil
}

// settings that must not change on resume: where the cache lies and how it is checked may.
func settings(cfg distill.Config) train.Settings {
	s := train.SettingsOf(cfg)
	for _, key := range []string{"cache.dir", "cache.check", "cache.tolerance"} {
		delete(s, key)
	}
	return s
}

func (r *Run) trainStudent(ctx context.Context, student *talker.Model) (res train.Result, err error) {
	e := r.Experiment
	set, err := r.mix(demo.Distillation)
	if err != nil {
		return res, err
	}
	probe, err := r.probe(ctx, demo.Selection)
	if err != nil {
		return res, err
	}
	defer probe.Close()
	objective, done, err := r.objective(ctx, student, set)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, done()) }()
	cfg := e.training()
	loop := train.Loop{
		Config: cfg, Objective: objective, Data: set, Dir: r.path(CheckpointsDir), Resume: r.resume,
		Settings: settings(e.Distill),
		Tracker:  cfg.Tracker(r.path(MetricsFile), r.Log, "distill"),
		Evaluate: func(ctx context.Context, _ int) (train.Evaluation, error) {
			m, err := probe.Measure(ctx, student)
			if err != nil {
				return train.Evaluation{}, err
			}
			return train.Evaluation{Value: m.NatsPerFrame(), Metrics: []track.Value{{Name: "held_out_kl", V: m.NatsPerFrame()}}}, nil
		},
	}
	return loop.Run(ctx)
}
