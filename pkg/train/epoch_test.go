package train_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/train"
)

// TestEpochs: with accumulate, 10 utterances in micro-batches of 2, three to an update, are two updates a pass: one of
// three micro-batches and one of two. A pass's end is told once, also to a run that goes on from between.
func TestEpochs(t *testing.T) {
	var ends, steps []int
	var seen log
	cfg := config()
	cfg.Steps, cfg.MicroBatch, cfg.TokensPerStep, cfg.Accumulate, cfg.SortWindow, cfg.CheckpointEvery = 6, 2, 0, 3, 0, 1
	data := corpus(10)
	frames := 0
	for _, u := range data {
		frames += u.Frames()
	}
	loop := train.Loop{Config: cfg, Objective: newBigram(t), Data: data, Dir: t.TempDir(), Tracker: &seen,
		EpochEnd: func(epoch int) error {
			ends, steps = append(ends, epoch), append(steps, len(seen.steps))
			return nil
		}}
	run(t, loop)
	if !slices.Equal(ends, []int{0, 1, 2}) || !slices.Equal(steps, []int{1, 3, 5}) { // before the step is reported
		t.Errorf("epochs %v ended while steps %v ran, want 0, 1, 2 in steps 1, 3, 5 (from 0)", ends, steps)
	}
	for epoch := range 3 {
		if n := seen.steps[2*epoch].Tokens + seen.steps[2*epoch+1].Tokens; n != int64(frames) {
			t.Errorf("epoch %d had %d frames, want all %d", epoch, n, frames)
		}
	}

	failed := errors.New("no room")
	loop.Dir, loop.EpochEnd = t.TempDir(), func(int) error { return failed }
	if _, err := loop.Run(context.Background()); !errors.Is(err, failed) || !strings.Contains(err.Error(), "end of epoch 0") {
		t.Errorf("error %v, want one that names epoch 0", err)
	}
	// The step before was saved, that of the failure was not: it is done again, and told again.
	ends = nil
	loop.Resume, loop.EpochEnd = true, func(epoch int) error { ends = append(ends, epoch); return nil }
	run(t, loop)
	if !slices.Equal(ends, []int{0, 1, 2}) {
		t.Errorf("a resumed run ends epochs %v, want 0, 1, 2", ends)
	}

	loop.Config.Accumulate = 0
	if _, err := loop.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "accumulate is 0") {
		t.Errorf("EpochEnd without accumulate gives %v", err)
	}
	loop.Config.Accumulate, loop.Config.TokensPerStep = 2, 8
	if _, err := loop.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "accumulate is 2 and tokens_per_step 8") {
		t.Errorf("both give %v", err)
	}
}
