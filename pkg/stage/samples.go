package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/talker"
)

// SamplesDir holds speech to listen to: one WAV file for each row of the summary.
const SamplesDir = "samples"

const (
	sampled = 4   // utterances in a file
	pause   = 0.4 // seconds between them
)

// Samples lets the teacher and the INT4 rows of a finished evaluation speak the same held-out texts with the same seed and
// writes <run>/samples/<row>.wav. A teacher without speech tokenizer has no samples: that is logged.
func (r *Run) Samples(ctx context.Context) error {
	there, err := hasCodec(r.source)
	if err != nil {
		return err
	}
	if !there {
		r.logf("samples: %s has no %s: nothing to listen to", r.source, speechTokenizer)
		return nil
	}
	voice, err := codec.Load(filepath.Join(r.source, speechTokenizer), codec.Options{Device: r.device, Parts: codec.DecoderOnly})
	if err != nil {
		return err
	}
	defer voice.Close()
	us, err := r.utterances(demo.Evaluation)
	if err != nil {
		return err
	}
	us = us[:min(sampled, len(us))]
	if err := os.MkdirAll(r.path(SamplesDir), 0o755); err != nil {
		return err
	}
	for _, row := range []struct{ name, dir string }{
		{RowTeacher, r.source},
		{RowINT4, r.path(filepath.Join(BaselinesDir, RowINT4))},
		{RowCalibrated, r.path(filepath.Join(BaselinesDir, RowCalibrated))},
		{RowDistilled, r.path(PackedDir)},
	} {
		if err := r.sample(ctx, row.name, row.dir, voice, us); err != nil {
			return fmt.Errorf("samples: %s: %w", row.name, err)
		}
	}
	r.logf("samples: %s", r.path(SamplesDir))
	return nil
}

// sample lets the talker in a folder speak us into one file.
func (r *Run) sample(ctx context.Context, name, dir string, voice *codec.Codec, us data.List) error {
	m, err := r.load(dir)
	if err != nil {
		return err
	}
	defer m.Close()
	sampling, err := talker.ReadSampling(r.source)
	if err != nil {
		return err
	}
	sampling.Seed, sampling.MaxNewTokens = r.Experiment.Seed, r.Experiment.Eval.MaxFrames
	said, err := eval.FreeRun(ctx, m, us, sampling, len(us))
	if err != nil {
		return err
	}
	rate := voice.Config.OutputRate
	var all []float32
	for i, s := range said {
		if len(s.Codes) == 0 {
			continue // it drew its end at once
		}
		q, err := distill.Request(m.Config, us[i])
		if err != nil {
			return err
		}
		var before [][]int32 // a voice that is cloned in context goes on from its reference
		if q.Reference != nil {
			before = q.Reference.Codes
		}
		samples, err := voice.Decode(append(before[:len(before):len(before)], s.Codes...))
		if err != nil {
			return err
		}
		all = append(all, samples[len(before)*int(voice.Config.UpsampleRate):]...)
		all = append(all, make([]float32, int(pause*float64(rate)))...)
	}
	if len(all) == 0 {
		return fmt.Errorf("%d utterances have no frame", len(us))
	}
	return audio.Write(r.path(filepath.Join(SamplesDir, name+".wav")), audio.Clip{Rate: rate, Samples: all}, audio.PCM16)
}
