package main

import (
	"flag"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/tts"
)

// flags is the command line.
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

func (f *flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.Model, "model", "", "checkpoint `folder` (default: the built-in demo teacher)")
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
	fs.StringVar(&f.dtype, "dtype", "float32", "`type` of the numbers that talker and speech tokenizer compute with: float32 or bfloat16")
	fs.StringVar(&f.Device, "device", "auto", "`device`: auto, cpu, cuda:0")
	fs.IntVar(&f.threads, "threads", 0, "of the tensor library (0: one per core)")
	fs.BoolVar(&f.JSON, "json", false, "print the result as one JSON object on stdout")
	fs.Func("set", "change a sampling setting: `key=value` (repeatable)", func(s string) error {
		f.Set = append(f.Set, s)
		return nil
	})
}

func (f *flags) check() error {
	switch {
	case strings.TrimSpace(f.line.Text) == "":
		return experiment.Usagef("-text is missing or empty, want what to say")
	case f.Out == "":
		return experiment.Usagef("-out is missing, want the WAV file to write")
	case f.refText != "" && f.refAudio == "":
		return experiment.Usagef("-ref-text is what -ref-audio says, but there is no -ref-audio")
	case f.refAudio != "" && f.line.Speaker != "":
		return experiment.Usagef("-ref-audio and -speaker are two voices, want one")
	case !slices.Contains(tts.Layouts(), tts.Layout(f.layout)):
		return experiment.Usagef("-layout is %q, want one of %q", f.layout, tts.Layouts()[1:])
	}
	return nil
}

// useDemo takes the demo teacher, whose language has words of its own and eight speakers.
func (f *flags) useDemo() (err error) {
	if f.line.Text, err = demo.Spell(f.line.Text); err != nil {
		return &experiment.UsageError{Err: err}
	}
	if f.line.Speaker == "" {
		f.line.Speaker = demo.Speakers()[0]
	}
	f.Model, err = demo.TeacherDir()
	return err
}
