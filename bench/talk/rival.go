package main

import (
	"context"
	"fmt"

	"github.com/qakd/qakd/bench/contest"
)

// rival is the reference implementation in a process of its own.
type rival struct {
	*contest.Rival
	what string
}

func startRival(ctx context.Context, o options) (*rival, error) {
	var hello struct{ Torch, Transformers, DType, Codec_DType string }
	r, err := contest.Start(ctx, o.threads, &hello, o.python, o.peer, "--model", o.model, "--dtype", o.dtype, "--threads", fmt.Sprint(o.threads))
	if err != nil {
		return nil, fmt.Errorf("%w (make bench-talk sets it up)", err)
	}
	what := fmt.Sprintf("qwen-tts, torch %s, transformers %s, talker %s, codec %s", hello.Torch, hello.Transformers, hello.DType, hello.Codec_DType)
	return &rival{r, what}, nil
}

func (r *rival) speech(u *ours, seed int) (t times, err error) {
	err = r.Ask(map[string]any{"stage": "speech", "ids": u.ids(), "language": language, "speaker": speaker, "frames": u.o.frames, "seed": seed}, &t)
	return t, err
}

func (r *rival) sound(frames int) (float64, error) {
	var t times
	err := r.Ask(map[string]any{"stage": "codec", "frames": frames}, &t)
	return t.Codec, err
}
