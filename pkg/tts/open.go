package tts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/speaker"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/text"
	"github.com/sugarme/gotch"
)

// Options of Open.
type Options struct {
	DType      gotch.DType  // of the talker's float parameters and activations; the zero value means float32
	CodecDType gotch.DType  // of speech tokenizer and speaker encoder; the zero value means float32
	Device     gotch.Device // the zero value means the CPU
	Parts      string       // checkpoint folder for what the model's own folder lacks; "" for none
}

// Synthesizer is the parts of a checkpoint that turn text into sound. It serves one caller at a time.
type Synthesizer struct {
	Model    *talker.Model
	Text     *text.Tokenizer
	Sampling talker.Sampling // what the checkpoint asks for

	codec   *codec.Codec     // the decoder
	encoder *codec.Codec     // the encoder, opened by the first voice that is cloned with a transcript
	speaker *speaker.Encoder // opened by the first voice that is cloned

	dir string
	o   Options
}

// Open reads text tokenizer, talker and speech decoder of a checkpoint folder. The parts that hear (speaker encoder,
// speech encoder) are read when a voice is cloned.
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
func OpenSilent(dir string, o Options) (_ *Synthesizer, err error) {
	s := &Synthesizer{dir: dir, o: o}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	// The cheap parts first: a wrong folder is told at once.
	if s.Sampling, err = talker.ReadSampling(dir); err != nil {
		return nil, err
	}
	if s.Text, err = s.openText(); err != nil {
		return nil, err
	}
	swap := func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) }
	s.Model, err = talker.Load(dir, talker.Options{DType: o.DType, Device: o.Device, Swap: swap})
	return s, err
}

// Close frees all parts.
func (s *Synthesizer) Close() {
	if s.Model != nil {
		s.Model.Close()
	}
	for _, c := range []*codec.Codec{s.codec, s.encoder} {
		if c != nil {
			c.Close()
		}
	}
	if s.speaker != nil {
		s.speaker.Close()
	}
	s.Model, s.codec, s.encoder, s.speaker = nil, nil, nil, nil
}

// Rate is the sample rate of what is spoken, in Hz.
func (s *Synthesizer) Rate() int { return int(s.codec.Config.OutputRate) }

// Hop is the number of samples of one frame.
func (s *Synthesizer) Hop() int { return int(s.codec.Config.UpsampleRate) }

func (s *Synthesizer) openText() (*text.Tokenizer, error) {
	t, err := text.Load(s.dir)
	if !errors.Is(err, text.ErrNone) {
		return t, err
	}
	if s.o.Parts == "" {
		return nil, s.lacks(err)
	}
	return text.Load(s.o.Parts)
}

// speechTokenizer is the folder of the codec inside a checkpoint folder.
const speechTokenizer = "speech_tokenizer"

func (s *Synthesizer) openCodec(parts codec.Parts) (*codec.Codec, error) {
	dir := filepath.Join(s.dir, speechTokenizer)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if s.o.Parts == "" {
			return nil, s.lacks(fmt.Errorf("tts: %s is not there, want the speech tokenizer of the checkpoint", dir))
		}
		dir = filepath.Join(s.o.Parts, speechTokenizer)
	}
	c, err := codec.Load(dir, codec.Options{DType: s.o.CodecDType, Device: s.o.Device, Parts: parts})
	if err != nil {
		return nil, err
	}
	if G := s.Model.Config.Groups(); c.Groups() != G {
		c.Close()
		return nil, fmt.Errorf("tts: %s: the speech tokenizer has %d codes a frame, want %d as the talker", dir, c.Groups(), G)
	}
	return c, nil
}

// hear opens the speaker encoder once.
func (s *Synthesizer) hear() (err error) {
	if s.speaker == nil {
		s.speaker, err = s.openSpeaker()
	}
	return err
}

func (s *Synthesizer) openSpeaker() (*speaker.Encoder, error) {
	dir := s.dir
	there, err := hasSpeaker(dir)
	if err != nil {
		return nil, err
	}
	if !there && s.o.Parts != "" {
		dir = s.o.Parts
	}
	e, err := speaker.Load(dir, speaker.Options{DType: s.o.CodecDType, Device: s.o.Device})
	if err != nil && !there && dir == s.dir && !errors.Is(err, speaker.ErrNone) {
		return nil, s.lacks(err)
	}
	if err != nil {
		return nil, err
	}
	if width, H := e.Config.Width, s.Model.Config.Talker.Hidden; width != H {
		e.Close()
		return nil, fmt.Errorf("tts: %s: speaker_encoder_config.enc_dim is %d, want hidden_size %d of the talker", dir, width, H)
	}
	return e, nil
}

// hasSpeaker tells whether the checkpoint of a folder holds a speaker encoder.
func hasSpeaker(dir string) (bool, error) {
	src, err := ckpt.Open(dir)
	if err != nil {
		return false, err
	}
	defer src.Close()
	return slices.ContainsFunc(src.Infos(), func(i ckpt.Info) bool { return strings.HasPrefix(i.Name, "speaker_encoder.") }), nil
}

// lacks adds what helps where the folder has not all parts.
func (s *Synthesizer) lacks(err error) error {
	return fmt.Errorf("%w (the folder of a student has the talker alone: name the teacher's folder for the other parts)", err)
}
