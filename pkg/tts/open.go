package tts

import (
	"errors"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/packed"
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
	// Dequantize leaves the packed projections of a packed checkpoint to libtorch, which dequantizes them at each use.
	// Otherwise, on the CPU, kernels of our own compute with the packed weights where they lie: in the interleaved file,
	// which the first opening makes, or in memory (pkg/packed).
	Dequantize bool
}

// Synthesizer is the parts of a checkpoint that turn text into sound. It serves one caller at a time.
type Synthesizer struct {
	*Listener
	Model    *talker.Model
	Sampling talker.Sampling // what the checkpoint asks for

	// Steppers decode rows and frames; they say which kind they are.
	Steppers *talker.Steppers
	// Packed is what became of the packed projections; nil for a checkpoint of another kind, or dequantized.
	Packed *packed.Loaded

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
	s := &Synthesizer{Listener: l, Sampling: sampling}
	if s.Model, err = talker.Load(dir, talker.Options{DType: o.DType, Device: o.Device, Swap: s.swap(o), Mapped: true}); err != nil {
		return nil, errors.Join(err, s.Packed.Close())
	}
	l.Config = s.Model.Config
	if s.Steppers, err = s.Model.Steppers(o.Steppers); err != nil {
		s.Model.Close()
		return nil, errors.Join(err, s.Packed.Close())
	}
	return s, nil
}

// swap gives a checkpoint's quantized layers their form.
func (s *Synthesizer) swap(o Options) func(m *talker.Model, dir string) error {
	return func(m *talker.Model, dir string) (err error) {
		if cpu := o.Device == (Options{}).Device || o.Device.Name == gotch.CPU.Name; !cpu || o.Dequantize {
			return qat.FromCheckpoint(m, dir)
		}
		s.Packed, err = packed.FromCheckpoint(m, dir, packed.SwapOptions{})
		return err
	}
}

// Close frees all parts.
func (s *Synthesizer) Close() {
	s.Listener.Close()
	s.Steppers.Close()
	s.Model.Close()
	_ = s.Packed.Close() // unmapping what was mapped does not fail
	if s.codec != nil {
		s.codec.Close()
	}
}

// Rate is the sample rate of what is spoken, in Hz.
func (s *Synthesizer) Rate() int { return int(s.codec.Config.OutputRate) }

// Hop is the number of samples of one frame.
func (s *Synthesizer) Hop() int { return int(s.codec.Config.UpsampleRate) }
