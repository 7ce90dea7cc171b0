// Synthesize speaks a text with a Qwen3-TTS checkpoint and writes a WAV file.
//
//	go run ./examples/synthesize -text cabfm -speaker ada -out hello.wav     the built-in demo teacher, in its own language
//	go run ./examples/synthesize -model DIR -text "Hello." -speaker ryan -out hello.wav
//	go run ./examples/synthesize -model DIR -text "Hello." -ref-audio me.wav -ref-text "What I say there." -out hello.wav
//	go run ./examples/synthesize -model DIR -text "Hello." -instruct "An old man, whispering." -out hello.wav
//
// The checkpoint decides how it gets a voice: base ones clone -ref-audio (with -ref-text they go on from it), custom_voice
// ones have speakers, voice_design ones follow -instruct. DIR may hold a teacher, a fake-quantized student or a packed
// checkpoint; a student has the talker alone, so -parts names its teacher's folder. With -stream the sound is decoded and
// written while it is drawn. Settings of the checkpoint's generation_config.json are changed by -set temperature=0.7.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/tts"
)

func main() {
	fs := flag.NewFlagSet("synthesize", flag.ContinueOnError)
	var f flags
	f.register(fs)
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, os.Stdout, os.Stderr, f) }))
}

func run(ctx context.Context, w, log io.Writer, f flags) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.Model == "" {
		if err := f.useDemo(); err != nil {
			return err
		}
	}
	s, err := open(f)
	if err != nil {
		return err
	}
	defer s.Close()
	s.Sampling.Seed = f.seed
	if err := experiment.Overlay(&s.Sampling, f.Set); err != nil {
		return err
	}
	f.line.ID, f.line.Layout = "text", tts.Layout(f.layout)
	if f.refAudio != "" {
		clip, err := audio.Load(f.refAudio, tts.InputRate)
		if err != nil {
			return err
		}
		if f.line.Voice, err = s.Clone(clip.Samples, f.refText); err != nil {
			return fmt.Errorf("%s: %w", f.refAudio, err)
		}
	}
	sound, err := speak(ctx, log, s, f)
	if err != nil {
		return err
	}
	return show(w, f, s, sound)
}

func open(f flags) (*tts.Synthesizer, error) {
	e := stage.Experiment{DType: f.dtype, Device: f.Device, Threads: f.threads}
	dtype, err := e.TensorType()
	if err != nil {
		return nil, experiment.Usagef("-%w", err)
	}
	device, err := e.Setup()
	if err != nil {
		return nil, err
	}
	return tts.Open(f.Model, tts.Options{DType: dtype, CodecDType: dtype, Device: device, Parts: f.parts})
}

// speak draws the line and writes its sound: packet by packet, or whole.
func speak(ctx context.Context, log io.Writer, s *tts.Synthesizer, f flags) (*tts.Sound, error) {
	out, err := audio.Create(f.Out, s.Rate(), audio.PCM16)
	if err != nil {
		return nil, err
	}
	defer out.Abort()
	progress := track.NewCounter(log, "frames", 25)
	say, began := s.Speak, time.Now()
	if f.stream {
		say = s.Stream
	}
	sound, err := say(ctx, f.line, s.Sampling, func(frames int, samples []float32) error {
		lasts := float64(frames*s.Hop()) / float64(s.Rate())
		if err := progress.At(int64(frames), fmt.Sprintf("%.2f s, %.2f of real time", lasts, time.Since(began).Seconds()/lasts)); err != nil {
			return err
		}
		return out.Write(samples)
	})
	if err := errors.Join(err, progress.Close()); err != nil {
		return nil, err
	}
	if !f.stream {
		if err := out.Write(sound.Samples); err != nil {
			return nil, err
		}
	}
	return sound, out.Close()
}
