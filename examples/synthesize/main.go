// Synthesize speaks a text with a Qwen3-TTS checkpoint and writes a WAV file.
//
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

type flags struct {
	experiment.Flags
	dtype, parts      string
	threads           int
	line              tts.Line
	layout            string
	refAudio, refText string
	seed              int64
	stream            bool
}

func main() {
	fs := flag.NewFlagSet("synthesize", flag.ContinueOnError)
	var f flags
	fs.StringVar(&f.Model, "model", "", "checkpoint `folder`")
	fs.StringVar(&f.parts, "parts", "", "checkpoint `folder` for the parts that -model lacks")
	fs.StringVar(&f.line.Text, "text", "", "what to say")
	fs.StringVar(&f.line.Language, "language", "auto", "`language` of the text")
	fs.StringVar(&f.line.Speaker, "speaker", "", "`name` of a preset voice")
	fs.StringVar(&f.refAudio, "ref-audio", "", "WAV `file` with the voice to clone")
	fs.StringVar(&f.refText, "ref-text", "", "what -ref-audio says: the speech goes on from it")
	fs.StringVar(&f.line.Instruct, "instruct", "", "how to say it, or who says it")
	fs.StringVar(&f.layout, "layout", "", "how the text is shown: whole, streaming (default: as the checkpoint is meant)")
	fs.Int64Var(&f.seed, "seed", 1, "of the draws: the same seed gives the same speech")
	fs.BoolVar(&f.stream, "stream", false, "decode and write the sound while it is drawn")
	fs.StringVar(&f.Out, "out", "", "WAV `file` to write: 24 kHz, 16 bits")
	fs.StringVar(&f.dtype, "dtype", "float32", "`type` of the talker's numbers: float32 or bfloat16")
	fs.StringVar(&f.Device, "device", "auto", "`device`: auto, cpu, cuda:0")
	fs.IntVar(&f.threads, "threads", 0, "of the tensor library (0: one per core)")
	fs.BoolVar(&f.JSON, "json", false, "print the result as one JSON object on stdout")
	fs.Func("set", "change a sampling setting: `key=value` (repeatable)", func(s string) error {
		f.Set = append(f.Set, s)
		return nil
	})
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, os.Stdout, f) }))
}

func (f *flags) check() error {
	switch {
	case f.Model == "":
		return experiment.Usagef("-model is missing, want a checkpoint folder")
	case f.Out == "":
		return experiment.Usagef("-out is missing, want the WAV file to write")
	case f.refText != "" && f.refAudio == "":
		return experiment.Usagef("-ref-text is what -ref-audio says, but there is no -ref-audio")
	case f.refAudio != "" && f.line.Speaker != "":
		return experiment.Usagef("-ref-audio and -speaker are two voices, want one")
	}
	return nil
}

func run(ctx context.Context, w io.Writer, f flags) error {
	if err := f.check(); err != nil {
		return err
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
	sound, err := speak(ctx, s, f)
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
	return tts.Open(f.Model, tts.Options{DType: dtype, Device: device, Parts: f.parts})
}

// speak draws the line and writes its sound: packet by packet, or whole.
func speak(ctx context.Context, s *tts.Synthesizer, f flags) (*tts.Sound, error) {
	out, err := audio.Create(f.Out, s.Rate(), audio.PCM16)
	if err != nil {
		return nil, err
	}
	defer out.Abort()
	progress := track.NewCounter(os.Stderr, "frames", 25)
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
	if err != nil {
		return nil, err
	}
	if err := progress.Close(); err != nil {
		return nil, err
	}
	if !f.stream {
		if err := out.Write(sound.Samples); err != nil {
			return nil, err
		}
	}
	return sound, out.Close()
}
