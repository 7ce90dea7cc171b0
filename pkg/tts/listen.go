package tts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/speaker"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/text"
)

// InputRate is the sample rate of recordings, in Hz.
const InputRate = speaker.Rate

// Listener is the parts of a checkpoint that read and hear, without the talker: they turn texts and recordings into what
// it is trained with and prompted by. It serves one caller at a time.
type Listener struct {
	Config *talker.Config
	Text   *text.Tokenizer

	encoder *codec.Codec     // opened by the first recording that is encoded
	speaker *speaker.Encoder // opened by the first voice that is cloned

	dir string
	o   Options
}

// OpenListener reads the text tokenizer of a checkpoint folder; that of a pruned one makes the tokens that it keeps. Speaker encoder and speech encoder are read when a
// recording is heard.
func OpenListener(dir string, o Options) (*Listener, error) {
	cfg, err := talker.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	l := &Listener{Config: cfg, dir: dir, o: o}
	l.Text, err = text.Load(dir)
	if errors.Is(err, text.ErrNone) {
		if o.Parts == "" {
			return nil, lacks(err)
		}
		l.Text, err = text.Load(o.Parts)
	}
	if err == nil && cfg.Kept() != nil {
		l.Text, err = l.Text.Keep(cfg.Kept())
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Close frees the parts that were opened.
func (l *Listener) Close() {
	if l.encoder != nil {
		l.encoder.Close()
	}
	if l.speaker != nil {
		l.speaker.Close()
	}
	l.encoder, l.speaker = nil, nil
}

// Encode is the codes [frames][G] of recordings, mono samples at InputRate, as the reference encodes a batch (see
// codec.EncodeBatch).
func (l *Listener) Encode(recordings [][]float32) ([][][]int32, error) {
	if l.encoder == nil {
		var err error
		if l.encoder, err = l.openCodec(codec.EncoderOnly); err != nil {
			return nil, err
		}
	}
	if rate := l.encoder.Config.InputRate; rate != InputRate {
		return nil, fmt.Errorf("tts: %s: input_sample_rate is %d, want %d as the speaker encoder has", l.encoder.Config.Path, rate, InputRate)
	}
	return l.encoder.EncodeBatch(recordings)
}

// speechTokenizer is the folder of the codec inside a checkpoint folder.
const speechTokenizer = "speech_tokenizer"

func (l *Listener) codecDir() (string, error) {
	dir := filepath.Join(l.dir, speechTokenizer)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, nil // what is wrong with it, if anything, shows when it is opened
	}
	if l.o.Parts == "" {
		return "", lacks(fmt.Errorf("tts: %s is not there, want the speech tokenizer of the checkpoint", dir))
	}
	return filepath.Join(l.o.Parts, speechTokenizer), nil
}

func (l *Listener) openCodec(parts codec.Parts) (*codec.Codec, error) {
	dir, err := l.codecDir()
	if err != nil {
		return nil, err
	}
	c, err := codec.Load(dir, codec.Options{DType: l.o.CodecDType, Device: l.o.Device, Parts: parts})
	if err != nil {
		return nil, err
	}
	if G := l.Config.Groups(); c.Groups() != G {
		c.Close()
		return nil, fmt.Errorf("tts: %s: the speech tokenizer has %d codes a frame, want %d as the talker", dir, c.Groups(), G)
	}
	return c, nil
}

func (l *Listener) openSpeaker() (*speaker.Encoder, error) {
	dir := l.dir
	there, err := hasSpeaker(dir)
	if err != nil {
		return nil, err
	}
	if !there && l.o.Parts != "" {
		dir = l.o.Parts
	}
	e, err := speaker.Load(dir, speaker.Options{DType: l.o.CodecDType, Device: l.o.Device})
	if err != nil && !there && dir == l.dir && !errors.Is(err, speaker.ErrNone) {
		return nil, lacks(err)
	}
	if err != nil {
		return nil, err
	}
	if width, H := e.Config.Width, l.Config.Talker.Hidden; width != H {
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
func lacks(err error) error {
	return fmt.Errorf("%w (the folder of a student has the talker alone: name the teacher's folder for the other parts)", err)
}

// FrameDuration is how long a frame of codes lasts; where there is no speech tokenizer, 80 ms as in every published one.
func (l *Listener) FrameDuration() (time.Duration, error) {
	dir, err := l.codecDir()
	if err != nil {
		return 80 * time.Millisecond, nil
	}
	cfg, err := codec.ReadConfig(dir)
	if err != nil {
		return 0, err
	}
	return time.Duration(float64(cfg.UpsampleRate) / float64(cfg.OutputRate) * float64(time.Second)), nil
}
