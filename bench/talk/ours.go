package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// times of one round in milliseconds: the prompt in all, the rest a frame.
type times struct {
	Rows      int     `json:"rows"` // of the prompt
	Prefill   float64 `json:"prefill_ms"`
	Talker    float64 `json:"talker_ms"`
	Predictor float64 `json:"predictor_ms"`
	Codec     float64 `json:"codec_ms"`
}

// ours is this repository's side.
type ours struct {
	o        options
	m        *talker.Model
	codec    *codec.Codec
	steppers *talker.Steppers
	prompt   talker.Prompt
	sampling talker.Sampling
	spent    talker.Spent // of the last frames
	frames   int          // of these
}

func loadOurs(o options) (*ours, error) {
	u := &ours{o: o, sampling: talker.DefaultSampling()}
	u.sampling.MinNewTokens, u.sampling.MaxNewTokens = o.frames+1, o.frames+1
	var err error
	if u.m, err = talker.Load(o.model, talker.Options{DType: gotch.BFloat16}); err != nil {
		return nil, err
	}
	if u.codec, err = codec.Load(filepath.Join(o.model, "speech_tokenizer"), codec.Options{DType: gotch.BFloat16, Parts: codec.DecoderOnly}); err != nil {
		return nil, err
	}
	if u.steppers, err = u.m.Steppers(talker.StepperOptions{Pack: o.pack, Threads: o.threads}); err != nil {
		return nil, err
	}
	voice, err := u.m.Config.PresetVoice(speaker)
	if err != nil {
		return nil, err
	}
	u.prompt, err = talker.DecodingRows(u.m.Config, talker.Request{ID: "bench", Text: u.body(), Voice: &voice, Language: language})
	return u, err
}

const speaker, language = "ryan", "english"

// body is the text: any tokens will do.
func (u *ours) body() []int32 {
	ids := make([]int32, u.o.text)
	for i := range ids {
		ids[i] = int32(65 + i%26)
	}
	return ids
}

// ids of the whole assistant turn, as the reference takes them.
func (u *ours) ids() []int32 {
	role := u.m.Config.Role()
	const newline = 198
	turn := append(append([]int32{}, role...), u.body()...)
	return append(append(turn, u.m.Config.ImEnd, newline), role...)
}

func (u *ours) what() string {
	kernels := u.steppers.Kernels
	if kernels == "" {
		kernels = fmt.Sprintf("libtorch (%v)", u.steppers.Why)
	}
	return fmt.Sprintf("talker bf16, kernels %s, %s packed; codec %v", kernels, report.Bytes(u.steppers.Packed), u.codec.DType)
}

// speech decodes a prompt and frames.
func (u *ours) speech(ctx context.Context) (times, error) {
	var began, ended time.Time
	var first, last talker.Spent
	frames := 0
	before := u.steppers.Spent()
	watch := talker.Watch{OnFrame: func(int, []int32) error {
		ended, last = time.Now(), u.steppers.Spent()
		if frames == 0 {
			began, first = ended, last
		}
		frames++
		return nil
	}}
	_, err := u.m.GenerateWatched(ctx, u.steppers.Talker, u.steppers.Predictor, []talker.Prompt{u.prompt}, u.sampling, watch)
	if err != nil {
		return times{}, err
	}
	u.spent, u.frames = difference(last, first), frames-1
	n := float64(u.frames)
	predictor := ms(u.spent.Frames) / n
	return times{
		Rows: len(u.prompt.Rows), Prefill: ms(last.Prefill - before.Prefill),
		Talker: ms(ended.Sub(began))/n - predictor, Predictor: predictor,
	}, nil
}

// sound decodes a chunk of codes.
func (u *ours) sound() (float64, error) {
	codes := make([][]int32, u.o.chunk)
	for f := range codes {
		codes[f] = make([]int32, u.codec.Groups())
		for g := range codes[f] {
			codes[f][g] = int32((31*f + 7*g) % 2048)
		}
	}
	began := time.Now()
	if _, err := u.codec.Decode(codes); err != nil {
		return 0, err
	}
	return ms(time.Since(began)) / float64(len(codes)), nil
}

func (u *ours) close() {
	u.steppers.Close()
	u.codec.Close()
	u.m.Close()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
