package tts

import (
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// Options of Open.
type Options struct {
	DType      gotch.DType  // of the talker's float parameters and activations; the zero value means float32
	CodecDType gotch.DType  // of speech tokenizer and speaker encoder; the zero value means float32
	Device     gotch.Device // the zero value means the CPU
	Parts      string       // checkpoint folder for what the model's own folder lacks; "" for none
	Steppers   talker.StepperOptions
}

// Synthesizer is the parts of a checkpoint that turn text into sound. It serves one caller at a time.
type Synthesizer struct {
	*Listener
	Model    *talker.Model
	Sampling talker.Sampling // what the checkpoint asks for

	// Steppers decode rows and frames; they say which kind they are.
	Steppers *talker.Steppers

	codec *codec.Codec // the decoder; nil in a silent one
}

// Open reads text tokenizer, talker and speech decoder of a checkpoint folder. The parts that hear are read when a voice
// is cloned.
func Open(dir string, o Options) (*Synthesizer, error) {
	s, err := OpenSilent(dir, o)
	if err != nil {
		return nil, err
	}
	if s.codec, err = s.openCodec(codec.DecoderOnly); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// OpenSilent is Open without the decoder: the synthesizer draws codes (see Draw) but cannot make them sound.
func OpenSilent(dir string, o Options) (*Synthesizer, error) {
	sampling, err := talker.ReadSampling(dir)
	if err != nil {
		return nil, err
	}
	l, err := OpenListener(dir, o)
	if err != nil {
		return nil, err
	}
	swap := func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) }
	m, err := talker.Load(dir, talker.Options{DType: o.DType, Device: o.Device, Swap: swap})
	if err != nil {
		return nil, err
	}
	l.Config = m.Config
	steppers, err := m.Steppers(o.Steppers)
	if err != nil {
		m.Close()
		return nil, err
	}
	return &Synthesizer{Listener: l, Model: m, Sampling: sampling, Steppers: steppers}, nil
}

// Close frees all parts.
func (s *Synthesizer) Close() {
	s.Listener.Close()
	s.Steppers.Close()
	s.Model.Close()
	if s.codec != nil {
		s.codec.Close()
	}
}

// Rate is the sample rate of what is spoken, in Hz.
func (s *Synthesizer) Rate() int { return int(s.codec.Config.OutputRate) }

// Hop is the number of samples of one frame.
func (s *Synthesizer) Hop() int { return int(s.codec.Config.UpsampleRate) }
