package finetune

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/speaker"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/text"
	"github.com/sugarme/gotch"
)

// Reader reads utterances for fine-tuning the base checkpoint in the folder Source. Close frees the speaker encoder.
type Reader struct {
	Source string
	Root   string         // folder that relative paths of ref_audio start from; "" for the working folder
	Config *talker.Config // of the checkpoint
	Device gotch.Device   // of the speaker encoder; the zero value means the CPU
	Log    io.Writer      // remarks; nil for none

	encoder *speaker.Encoder
	voices  map[string][]float32 // of the clips so far
}

// Read reads a file of utterances: texts are tokenized with the checkpoint's tokenizer, and what lacks a speaker_vector
// gets that of its ref_audio. Clips of other rates are resampled, which Log is told. Everything that training would refuse
// is an error here: a file without utterances, codes or ids of another model, an utterance that is longer than the model's
// positions.
func (r *Reader) Read(path string) (data.List, error) {
	if err := base(r.Config); err != nil {
		return nil, err
	}
	tokenizer, err := r.tokenizer()
	if err != nil {
		return nil, err
	}
	list, err := data.ReadFile(path, tokenizer)
	if err != nil {
		return nil, err
	}
	for i := range list {
		u := &list[i]
		if len(u.Vector) == 0 {
			if u.Vector, err = r.voice(u.From.RefAudio); err != nil {
				return nil, fmt.Errorf("finetune: %s: utterance %q: %w", path, u.ID, err)
			}
		}
		if _, err := rows(r.Config, *u); err != nil {
			return nil, fmt.Errorf("finetune: %s: %w", path, err)
		}
	}
	return list, nil
}

// Close frees the speaker encoder, if one was needed.
func (r *Reader) Close() {
	if r.encoder != nil {
		r.encoder.Close()
		r.encoder = nil
	}
}

// tokenizer is nil where the folder has none: rows may bring their ids.
func (r *Reader) tokenizer() (data.Tokenizer, error) {
	t, err := text.Load(r.Source)
	switch {
	case errors.Is(err, text.ErrNone):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return t, nil
}

// voice is the vector of a clip, encoded once.
func (r *Reader) voice(path string) ([]float32, error) {
	if path == "" {
		return nil, errors.New("no ref_audio and no speaker_vector, want one of them")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.Root, path)
	}
	if v, ok := r.voices[path]; ok {
		return v, nil
	}
	if r.encoder == nil {
		var err error
		if r.encoder, err = speaker.Load(r.Source, speaker.Options{Device: r.Device}); err != nil {
			return nil, err
		}
		r.voices = map[string][]float32{}
	}
	clip, err := audio.Read(path)
	if err != nil {
		return nil, fmt.Errorf("ref_audio: %w", err)
	}
	samples := clip.Samples
	if clip.Rate != speaker.Rate {
		if r.Log != nil {
			fmt.Fprintf(r.Log, "%s: resampled from %d to %d Hz\n", path, clip.Rate, speaker.Rate)
		}
		if samples, err = audio.Resample(samples, clip.Rate, speaker.Rate); err != nil {
			return nil, fmt.Errorf("ref_audio %s: %w", path, err)
		}
	}
	v, err := r.encoder.Embed(samples)
	if err != nil {
		return nil, fmt.Errorf("ref_audio %s: %w", path, err)
	}
	r.voices[path] = v
	return v, nil
}

// base wants a checkpoint that can be fine-tuned.
func base(cfg *talker.Config) error {
	if cfg.Type != talker.Base {
		return fmt.Errorf("finetune: %s: tts_model_type is %q, want %q: only base checkpoints hear voices", cfg.Path, cfg.Type, talker.Base)
	}
	return nil
}

// rows lays out an utterance with its voice as a vector.
func rows(cfg *talker.Config, u data.Utterance) (talker.Sequence, error) {
	limits := data.Limits{
		TextVocab: int(cfg.Talker.TextVocab), Groups: cfg.Groups(), Codebook: int(cfg.Codebook()), Voice: int(cfg.Talker.Hidden),
	}
	if err := u.Check(limits); err != nil {
		return talker.Sequence{}, err
	}
	if len(u.Vector) == 0 {
		return talker.Sequence{}, fmt.Errorf("finetune: utterance %q has no speaker vector", u.ID)
	}
	return talker.FineTuningRows(cfg, u.ID, append(cfg.Role(), u.Text...), u.Codes, talker.Voice{Vector: u.Vector})
}

// collate makes one batch of us.
func collate(cfg *talker.Config, us []data.Utterance) (*talker.Batch, error) {
	seqs := make([]talker.Sequence, len(us))
	for i, u := range us {
		var err error
		if seqs[i], err = rows(cfg, u); err != nil {
			return nil, err
		}
	}
	return talker.Collate(seqs, talker.PadRight)
}
