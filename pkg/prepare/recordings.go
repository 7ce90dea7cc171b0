package prepare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/tts"
)

// Recordings is the Maker of rows that have audio.
type Recordings struct {
	Listener *tts.Listener
	Dir      string        // that the paths of rows start from
	Longest  time.Duration // recordings beyond it are skipped; 0: none is

	voices  voices
	samples [][]float32 // of the checked rows of the batch
}

// BatchOfReference is the number of recordings that the reference's preparation encodes at a time. A recording that is
// shorter than the longest of its batch may get other codes for its last frame than alone.
const BatchOfReference = 32

// Check reads the row's recordings and tokenizes its texts.
func (r *Recordings) Check(row *data.Utterance) error {
	if row.From.Audio == "" {
		return errors.New(`key "audio" is missing, want a WAV file`)
	}
	if len(row.Codes) > 0 {
		return errors.New(`key "audio_codes" is there already`)
	}
	if err := tokenize(r.Listener, row); err != nil {
		return err
	}
	clip, err := audio.Load(join(r.Dir, row.From.Audio), tts.InputRate)
	if err != nil {
		return err
	}
	if d := clip.Duration(); r.Longest > 0 && d > r.Longest {
		return fmt.Errorf("%s lasts %v, want at most %v", row.From.Audio, d.Round(time.Millisecond), r.Longest)
	}
	if err := tts.CheckRecording(clip.Samples); err != nil {
		return fmt.Errorf("%s: %w", row.From.Audio, err)
	}
	if err := r.voices.clone(r.Listener, r.Dir, row); err != nil {
		return err
	}
	r.samples = append(r.samples, clip.Samples)
	return nil
}

// Make encodes the recordings.
func (r *Recordings) Make(_ context.Context, rows []data.Utterance) ([]error, error) {
	codes, err := r.Listener.Encode(r.samples)
	r.samples = nil
	if err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].Codes = codes[i]
	}
	return make([]error, len(rows)), nil
}

// Identity is the checkpoint and the settings.
func (r *Recordings) Identity() (string, error) {
	return identity(r.Listener, map[string]any{"from": "recordings", "dir": r.Dir, "longest": r.Longest})
}

func identity(l *tts.Listener, settings map[string]any) (string, error) {
	print, err := l.Fingerprint()
	if err != nil {
		return "", err
	}
	settings["checkpoint"] = print
	b, err := json.Marshal(settings)
	if err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// tokenize fills in the ids of the row's texts.
func tokenize(l *tts.Listener, row *data.Utterance) (err error) {
	if row.From.Text == "" && len(row.Text) == 0 {
		return errors.New(`key "text" is missing, want what is said`)
	}
	if row.From.Text != "" {
		if row.Text, err = l.Text.Body(row.From.Text); err != nil {
			return err
		}
	}
	if row.From.Instruct != "" {
		if row.Instruct, err = l.Text.Instruct(row.From.Instruct); err != nil {
			return err
		}
	}
	return nil
}

// voices are the recordings of voices that were heard: many rows share one.
type voices map[[2]string]heard

type heard struct {
	voice *tts.Voice
	err   error
}

// clone gives a row of a base checkpoint the vector, and with a transcript the codes, of its ref_audio.
func (v *voices) clone(l *tts.Listener, dir string, row *data.Utterance) error {
	if row.From.RefAudio == "" {
		if l.Config.Type == talker.Base && row.Vector == nil {
			return errors.New(`key "ref_audio" is missing, want a WAV file of the voice: a base checkpoint is prompted by it`)
		}
		return nil
	}
	if l.Config.Type != talker.Base { // it may be there for others; this checkpoint has voices of its own
		return nil
	}
	key := [2]string{row.From.RefAudio, row.From.RefText}
	h, ok := (*v)[key]
	if !ok {
		h = listen(l, join(dir, row.From.RefAudio), row.From.RefText)
		if *v == nil {
			*v = voices{}
		}
		(*v)[key] = h
	}
	if h.err != nil {
		return fmt.Errorf("ref_audio: %w", h.err)
	}
	row.Vector = h.voice.Vector
	if ref := h.voice.Reference; ref != nil {
		row.RefText, row.RefCodes = ref.Text, ref.Codes
	}
	return nil
}

func listen(l *tts.Listener, path, transcript string) heard {
	clip, err := audio.Load(path, tts.InputRate)
	if err != nil {
		return heard{err: err}
	}
	v, err := l.Clone(clip.Samples, transcript)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return heard{v, err}
}

func join(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
