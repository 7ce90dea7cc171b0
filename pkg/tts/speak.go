package tts

import (
	"context"
	"fmt"
	"time"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/talker"
)

// Sound is a spoken line.
type Sound struct {
	talker.Speech
	Samples []float32 // mono at Rate; the reference of a cloned voice is not among them
	Timing  Timing
}

// Timing of a spoken line.
type Timing struct {
	FirstFrame time.Duration // until the codes of the first frame were drawn
	FirstSound time.Duration // until the first samples were there
	Decoding   time.Duration // spent on codes to samples, part of Total
	Total      time.Duration
}

// RealTimeFactor is the time that a sound took over the time that it lasts: below 1 it is made faster than it is heard.
func (t Timing) RealTimeFactor(sound time.Duration) float64 {
	return t.Total.Seconds() / sound.Seconds()
}

// Sink receives speech while it is made: the number of frames drawn so far and, where samples are decoded along the way,
// the next of them. An error ends the speech.
type Sink func(frames int, samples []float32) error

// Draw speaks lines as far as their codes, as one batch.
func (s *Synthesizer) Draw(ctx context.Context, lines []Line, sampling talker.Sampling) ([]talker.Speech, error) {
	prompts := make([]talker.Prompt, len(lines))
	for i, l := range lines {
		p, err := s.prompt(l)
		if err != nil {
			return nil, err
		}
		prompts[i] = p
	}
	return s.Model.GenerateWith(ctx, s.Steppers.Talker, s.Steppers.Predictor, prompts, sampling)
}

func (s *Synthesizer) prompt(l Line) (talker.Prompt, error) {
	r, err := s.Request(l)
	if err != nil {
		return talker.Prompt{}, err
	}
	return talker.DecodingRows(s.Model.Config, r)
}

// Speak speaks a line and decodes its codes at the end, in the reference's chunks. sink, which may be nil, is told the
// frames.
func (s *Synthesizer) Speak(ctx context.Context, l Line, sampling talker.Sampling, sink Sink) (*Sound, error) {
	began := time.Now()
	out := &Sound{}
	err := s.draw(ctx, l, sampling, out, func(frames int, _ []int32) error {
		if frames == 1 {
			out.Timing.FirstFrame = time.Since(began)
		}
		if sink == nil {
			return nil
		}
		return sink(frames, nil)
	})
	if err != nil {
		return nil, err
	}
	drawn := time.Now()
	if out.Samples, err = s.Decode(l, out.Codes); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("tts: line %q: decoding: %w", l.ID, err)
	}
	out.Timing.Total = time.Since(began)
	out.Timing.FirstSound, out.Timing.Decoding = out.Timing.Total, time.Since(drawn)
	return out, nil
}

// Decode is the samples of a line's codes. For a voice that is cloned in context the reference is decoded in front, so
// that the sound goes on from it, and then cut off as the reference implementation does: by its share of the frames, which
// in floating point may be less than its frames by a sample. The sound is then longer by the reference's last sample.
func (s *Synthesizer) Decode(l Line, codes [][]int32) ([]float32, error) {
	ref := reference(l)
	samples, err := s.codec.Decode(append(ref[:len(ref):len(ref)], codes...))
	if err != nil {
		return nil, err
	}
	share := float64(len(ref)) / float64(len(ref)+len(codes))
	return samples[int(share*float64(len(samples))):], nil
}

func reference(l Line) [][]int32 {
	if l.Voice == nil || l.Voice.Reference == nil {
		return nil
	}
	return l.Voice.Reference.Codes
}

// PacketFrames is how many frames a stream decodes at a time, after the first frame, which is decoded alone: larger
// packets cost less each frame, smaller ones come sooner.
const PacketFrames = 4

// Stream is Speak that decodes while it draws: sink receives every sample, a packet at a time. The sound equals that of
// one decoding of all frames at once, cut at a frame. Speak's differs from it beyond 300 frames, where chunks see less of
// the past, and for some voices cloned in context by the sample in front that Decode leaves.
func (s *Synthesizer) Stream(ctx context.Context, l Line, sampling talker.Sampling, sink Sink) (*Sound, error) {
	stream, err := s.codec.NewStream()
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	if sink == nil {
		sink = func(int, []float32) error { return nil }
	}
	began := time.Now()
	out := &Sound{}
	p := packets{stream: stream, sink: sink, out: out, began: began}
	if ref := reference(l); len(ref) > 0 {
		if _, err := stream.Push(ref); err != nil {
			return nil, err
		}
	}
	if err := s.draw(ctx, l, sampling, out, p.frame); err != nil {
		return nil, err
	}
	if err := p.flush(len(out.Codes)); err != nil {
		return nil, err
	}
	out.Timing.Total = time.Since(began)
	return out, nil
}

// packets collects frames until they are worth decoding.
type packets struct {
	stream *codec.Stream
	sink   Sink
	out    *Sound
	began  time.Time
	wait   [][]int32
}

func (p *packets) frame(frames int, frame []int32) error {
	p.wait = append(p.wait, frame)
	if frames == 1 {
		p.out.Timing.FirstFrame = time.Since(p.began)
	}
	if frames > 1 && len(p.wait) < PacketFrames {
		return p.sink(frames, nil)
	}
	return p.flush(frames)
}

func (p *packets) flush(frames int) error {
	if len(p.wait) == 0 {
		return nil
	}
	start := time.Now()
	samples, err := p.stream.Push(p.wait)
	if err != nil {
		return err
	}
	p.wait = p.wait[:0]
	p.out.Timing.Decoding += time.Since(start)
	if len(p.out.Samples) == 0 {
		p.out.Timing.FirstSound = time.Since(p.began)
	}
	p.out.Samples = append(p.out.Samples, samples...)
	return p.sink(frames, samples)
}

// draw speaks one line as far as its codes, into out.
func (s *Synthesizer) draw(ctx context.Context, l Line, sampling talker.Sampling, out *Sound, frame func(frames int, frame []int32) error) error {
	p, err := s.prompt(l)
	if err != nil {
		return err
	}
	frames := 0
	watch := talker.Watch{OnFrame: func(_ int, codes []int32) error {
		frames++
		return frame(frames, codes)
	}}
	speech, err := s.Model.GenerateWatched(ctx, s.Steppers.Talker, s.Steppers.Predictor, []talker.Prompt{p}, sampling, watch)
	if err != nil {
		return err
	}
	out.Speech = speech[0]
	if len(out.Codes) == 0 {
		return fmt.Errorf("tts: line %q: the talker drew its end at once, no frame was spoken", l.ID)
	}
	return nil
}
