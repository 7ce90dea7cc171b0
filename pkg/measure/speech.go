package measure

import (
	"context"
	"errors"
	"time"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/talker"
)

// Times in milliseconds: the prompt in all, the rest a frame.
type Times struct {
	Rows      int     `json:"rows"` // of the prompt
	Prefill   float64 `json:"prefill_ms"`
	Talker    float64 `json:"talker_ms"` // rows, codec_head, and what is between the frames
	Predictor float64 `json:"predictor_ms"`
	Codec     float64 `json:"codec_ms"`
}

// Speech decodes the prompt and frames; the codec's time is 0. Where the steppers are libtorch's, the code predictor's
// time counts to the talker, and is 0.
func (d *Decoder) Speech(ctx context.Context) (Times, error) {
	var began, ended, first time.Time
	var from, to talker.Spent
	frames := 0
	before := d.Steppers.Spent()
	watch := talker.Watch{OnFrame: func(int, []int32) error {
		ended, to = time.Now(), d.Steppers.Spent()
		if frames == 0 {
			first, from = ended, to
		}
		frames++
		return nil
	}}
	began = time.Now()
	if _, err := d.Model.GenerateWatched(ctx, d.Steppers.Talker, d.Steppers.Predictor, []talker.Prompt{d.Prompt}, d.Sampling, watch); err != nil {
		return Times{}, err
	}
	if frames < 2 {
		return Times{}, errors.New("measure: the talker drew its end at once")
	}
	d.spent, d.frames = difference(to, from), frames-1
	n := float64(d.frames)
	t := Times{Rows: len(d.Prompt.Rows), Prefill: ms(to.Prefill - before.Prefill), Predictor: ms(d.spent.Frames) / n}
	t.Talker = ms(ended.Sub(first))/n - t.Predictor
	if d.Steppers.Kernels == "" {
		t.Prefill = ms(first.Sub(began)) // with the first frame
	}
	return t, nil
}

// Sound is milliseconds of the codec for a frame, decoding a chunk of codes.
func (d *Decoder) Sound() (float64, error) {
	if d.Codec == nil {
		return 0, errors.New("measure: the checkpoint has no codec")
	}
	codes := make([][]int32, d.o.Chunk)
	for f := range codes {
		codes[f] = make([]int32, d.Codec.Groups())
		for g := range codes[f] {
			codes[f][g] = int32((31*f + 7*g) % int(d.Model.Config.Codebook()))
		}
	}
	began := time.Now()
	_, err := d.Codec.Decode(codes)
	return ms(time.Since(began)) / float64(len(codes)), err
}

// errEnough ends a speech whose first packet is there.
var errEnough = errors.New("enough")

// FirstPacket is milliseconds from the prompt to the samples of the first frame, which is decoded alone.
func (d *Decoder) FirstPacket(ctx context.Context) (float64, error) {
	if d.Codec == nil {
		return 0, errors.New("measure: the checkpoint has no codec")
	}
	stream, err := d.Codec.NewStream()
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	var first time.Duration
	began := time.Now()
	watch := talker.Watch{OnFrame: func(_ int, frame []int32) error {
		if _, err := stream.Push([][]int32{frame}); err != nil {
			return err
		}
		first = time.Since(began)
		return errEnough
	}}
	_, err = d.Model.GenerateWatched(ctx, d.Steppers.Talker, d.Steppers.Predictor, []talker.Prompt{d.Prompt}, d.Sampling, watch)
	if !errors.Is(err, errEnough) {
		return 0, errors.Join(err, errors.New("measure: no frame was drawn"))
	}
	return ms(first), nil
}

func difference(a, b talker.Spent) talker.Spent {
	parts := func(a, b native.Spent) native.Spent {
		return native.Spent{QKV: a.QKV - b.QKV, O: a.O - b.O, GateUp: a.GateUp - b.GateUp, Down: a.Down - b.Down, Heads: a.Heads - b.Heads, Draws: a.Draws - b.Draws}
	}
	return talker.Spent{
		Prefill: a.Prefill - b.Prefill, Steps: a.Steps - b.Steps, Logits: a.Logits - b.Logits, Frames: a.Frames - b.Frames,
		Talker: parts(a.Talker, b.Talker), Predictor: parts(a.Predictor, b.Predictor),
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
