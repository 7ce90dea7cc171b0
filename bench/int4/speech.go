package main

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/tts"
	"github.com/sugarme/gotch"
)

const text = "The quick brown fox jumps over the lazy dog."

// speeches races whole speech, text to samples. Random weights never end by themselves, so that the frames are those
// asked for.
func speeches(ctx context.Context, b *bench) error {
	for _, size := range sizes {
		if err := b.speech(ctx, size); err != nil {
			return fmt.Errorf("%s: %w", size, err)
		}
	}
	return nil
}

func (b *bench) speech(ctx context.Context, size string) error {
	fast, dtype := fastType()
	us, err := tts.Open(b.packed(size), tts.Options{DType: gotch.BFloat16, CodecDType: fast, Steppers: talker.StepperOptions{Threads: b.o.threads}})
	if err != nil {
		return fmt.Errorf("%w (make bench-int4 makes the models)", err)
	}
	defer us.Close()
	sampling := us.Sampling.Exactly(b.o.frames)
	line := tts.Line{ID: "bench", Text: text, Speaker: voice, Language: language}
	var last tts.Timing
	ours := func(ctx context.Context) (float64, error) {
		s, err := us.Speak(ctx, line, sampling, nil)
		if err != nil {
			return 0, err
		}
		last = s.Timing
		return rtf(1e3*s.Timing.Total.Seconds(), float64(len(s.Codes))), nil
	}
	ids, err := turn(us)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("whole speech %s, %.1f s of it, real-time factor", size, 0.08*float64(b.o.frames))
	profile := func(float64) (*report.Table, error) {
		t := &report.Table{Title: name + ", last round", Columns: []string{"", "seconds"}}
		t.Add("to the first frame", fmt.Sprintf("%.2f", last.FirstFrame.Seconds()))
		t.Add("frames after it", fmt.Sprintf("%.2f", (last.Total-last.Decoding-last.FirstFrame).Seconds()))
		t.Add("codec", fmt.Sprintf("%.2f", last.Decoding.Seconds()))
		return t, nil
	}
	for _, r := range []struct {
		name  string
		goal  float64
		start func() *peer
		words task
	}{
		{"vox-tts q4full", 3.5, func() *peer { return b.peer(ctx, "vox_tts.py", "--model", b.voxModel(size)) }, task{"text": text}},
		{"qwen-tts, torch " + dtype, 7, func() *peer { return b.torch(ctx, size, dtype) }, task{"ids": ids}},
	} {
		row := contest.Contest{Name: name + ": " + r.name, Goal: r.goal, Ours: ours}
		if !b.wants(row.Name) {
			continue
		}
		them, what := r.start(), task{"stage": "whole", "speaker": voice, "language": language, "frames": b.o.frames, "seed": 1}
		maps.Copy(what, r.words)
		row.Rival = func(context.Context) (float64, error) {
			var a struct{ MS, Frames float64 }
			err := them.Ask(what, &a)
			return rtf(a.MS, a.Frames), err
		}
		err := b.run(ctx, row.Name, []race{{Contest: row, profile: profile, rival: them, why: them.why}})
		if err = errors.Join(err, b.stop(them)); err != nil {
			return err
		}
	}
	return nil
}

// turn is the ids of the whole assistant turn, as the reference takes them.
func turn(s *tts.Synthesizer) ([]int32, error) {
	body, err := s.Text.Body(text)
	if err != nil {
		return nil, err
	}
	role := s.Config.Role()
	const newline = 198
	ids := append(append([]int32{}, role...), body...)
	return append(append(ids, s.Config.ImEnd, newline), role...), nil
}
