package stage

import (
	"context"
	"fmt"

	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

// Distill trains the calibrated student against the teacher and writes <run>/distilled: the checkpoint with the lowest
// held-out KL. <run>/checkpoints and <run>/metrics.jsonl let an interrupted run go on.
func (r *Run) Distill(ctx context.Context) error {
	if r.has(DistilledDir) {
		r.logf("distill: %s is there", r.path(DistilledDir))
		return nil
	}
	if !r.has(CalibratedDir) {
		return fmt.Errorf("%s is not there: run the calibrate stage first", r.path(CalibratedDir))
	}
	student, err := r.load(r.path(CalibratedDir))
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

func (r *Run) trainStudent(ctx context.Context, student *talker.Model) (train.Result, error) {
	e := r.Experiment
	objective, err := distill.New(r.Teacher, student, e.Distill)
	if err != nil {
		return train.Result{}, err
	}
	set, err := r.mix(demo.Distillation)
	if err != nil {
		return train.Result{}, err
	}
	probe, err := r.selection(ctx)
	if err != nil {
		return train.Result{}, err
	}
	defer probe.Close()
	e.Train.Seed = e.Seed
	loop := train.Loop{
		Config: e.Train, Objective: objective, Data: set, Dir: r.path(CheckpointsDir), Resume: r.resume,
		Settings: train.SettingsOf(e.Distill),
		Tracker:  e.Train.Tracker(r.path(MetricsFile), r.Log, "distill"),
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
