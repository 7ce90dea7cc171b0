package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/pkg/measure"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// What both sides decode: a prompt, and frames after it, so that the context stays below 256 rows.
const (
	promptRows = 128
	frames     = 16
	predicted  = 15 // codes of a frame behind the first
)

// talkers races the packed talker and its code predictor with llama.cpp on models of the same shapes.
func talkers(ctx context.Context, b *bench) error {
	for _, size := range sizes {
		if err := b.talker(ctx, size); err != nil {
			return fmt.Errorf("%s: %w", size, err)
		}
	}
	return b.stopScript("llama.py")
}

func (b *bench) talker(ctx context.Context, size string) error {
	us, err := b.speaker(size, measure.Options{Rows: promptRows, Frames: frames + 1, Silent: true})
	if err != nil {
		return err
	}
	defer us.Close()
	them := b.peer(ctx, "llama.py")
	model, why := b.rivalModel(ctx, them, talkerShape(size))
	small, whySmall := b.rivalModel(ctx, them, predictorShape)
	part := func(of func(measure.Times) float64) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			t, err := us.Speech(ctx)
			return of(t), err
		}
	}
	profile := func(float64) (*report.Table, error) { return where(us, b.o.threads, size) }
	prefill := 3.8
	if size != "1.7b" {
		prefill = 1 // no goal was set
	}
	list := []race{{
		Contest: contest.Contest{
			Name: fmt.Sprintf("talker %s decode, a frame, context %d…%d: llama.cpp Q4_0", size, promptRows, promptRows+frames), Goal: 1.25,
			Ours: part(func(t measure.Times) float64 { return t.Talker }), Rival: them.time(task{"stage": "decode", "path": model, "context": promptRows, "tokens": frames}),
		}, profile: profile, rival: them, why: why,
	}, {
		Contest: contest.Contest{
			Name: fmt.Sprintf("talker %s prefill of %d: llama.cpp Q4_0", size, promptRows), Goal: prefill, Note: onAMX(prefill),
			Ours: part(func(t measure.Times) float64 { return t.Prefill }), Rival: them.time(task{"stage": "prefill", "path": model, "tokens": promptRows}),
		}, rival: them, why: why,
	}, {
		Contest: contest.Contest{
			Name: fmt.Sprintf("code predictor of %s, %d steps with sampling: llama.cpp Q4_0 without", size, predicted), Goal: 1.05,
			Ours: part(func(t measure.Times) float64 { return t.Predictor }), Rival: them.time(task{"stage": "frame", "path": small, "steps": predicted}),
		}, profile: profile, rival: them, why: whySmall,
	}}
	if err := b.run(ctx, "talker "+size+", kernels "+us.Kernels(), list); err != nil {
		return err
	}
	return nil
}

// speaker opens a packed checkpoint.
func (b *bench) speaker(size string, o measure.Options) (*measure.Decoder, error) {
	o.Model, o.DType, o.Text, o.Voice, o.Language = b.packed(size), gotch.BFloat16, max(o.Text, 1), "", ""
	o.Codec, _ = fastType()
	o.Steppers = talker.StepperOptions{Threads: b.o.threads}
	d, err := measure.Open(o)
	if err != nil {
		return nil, fmt.Errorf("%w (make bench-int4 makes the models)", err)
	}
	return d, nil
}

const voice, language = "ryan", "english"

// rivalModel makes and loads a model of a shape in Q4_0.
func (b *bench) rivalModel(ctx context.Context, p *peer, d decoder) (path string, why error) {
	if p.why != nil {
		return "", p.why
	}
	_, path, err := b.gguf(ctx, d)
	if err == nil {
		_, err = p.time(task{"stage": "load", "path": path})(ctx)
	}
	return path, err
}

// where says where the time of a frame goes.
func where(us *measure.Decoder, threads int, size string) (*report.Table, error) {
	speed, err := measure.Bandwidth(threads)
	if err != nil {
		return nil, err
	}
	t := us.Where(speed)
	if t == nil {
		return nil, errors.New("libtorch's steppers do not tell: " + us.Kernels())
	}
	t.Title = fmt.Sprintf("a frame of the packed %s at %.1f GB/s, last round", size, speed/1e9)
	return t, nil
}

// codecs races the codec's decoder with the reference's in PyTorch.
func codecs(ctx context.Context, b *bench) error {
	const chunk = 25
	us, err := b.speaker("0.6b", measure.Options{Frames: 2, Chunk: chunk})
	if err != nil {
		return err
	}
	defer us.Close()
	ours := func(context.Context) (float64, error) { return us.Sound() }
	var list []race
	for _, dtype := range []string{"bfloat16", "float32"} {
		them := b.torch(ctx, "0.6b", dtype)
		r := race{Contest: contest.Contest{Name: fmt.Sprintf("codec decoder, a frame of %d: torch %s", chunk, dtype), Goal: 1.17, Ours: ours}, rival: them, why: them.why}
		if dtype == "bfloat16" {
			r.Note = onAMX(1.17)
		}
		r.Rival = func(context.Context) (float64, error) {
			var t struct{ Codec_MS float64 }
			err := them.Ask(task{"stage": "codec", "frames": chunk}, &t)
			return t.Codec_MS, err
		}
		list = append(list, r)
	}
	if err := b.run(ctx, fmt.Sprintf("codec %v", us.Codec.DType), list); err != nil {
		return err
	}
	return errors.Join(b.stop(list[0].rival), b.stop(list[1].rival))
}

// torch is the reference implementation with a dense checkpoint, in a dtype that the CPU multiplies.
func (b *bench) torch(ctx context.Context, size, dtype string) *peer {
	if why := emulated(dtype); why != nil {
		return &peer{why: why}
	}
	return b.peer(ctx, "qwen3tts.py", "--model", b.dense(size), "--dtype", dtype)
}

// rtf is a real-time factor: the time over that of the sound.
func rtf(ms, frames float64) float64 {
	const frame = 80
	if frames == 0 {
		return math.Inf(1)
	}
	return ms / (frame * frames)
}
