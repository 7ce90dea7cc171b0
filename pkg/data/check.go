package data

import (
	"errors"
	"fmt"
	"math"
)

// Limits are the sizes of the model that will read an utterance.
type Limits struct {
	TextVocab int // text ids are 0 … TextVocab-1
	Groups    int // codes per frame
	Codebook  int // codes are 0 … Codebook-1
	Voice     int // numbers of a speaker vector; 0: any
}

// Check reports the first value of u that a model with limits l cannot read: an empty text, no frames, a frame with
// another number of codes, an id outside its table, a speaker vector of another length.
func (u Utterance) Check(l Limits) error {
	err := u.check(l)
	if err != nil {
		return fmt.Errorf("data: utterance %q: %w", u.ID, err)
	}
	return nil
}

func (u Utterance) check(l Limits) error {
	if len(u.Text) == 0 {
		return errors.New("text_ids is empty, want at least one id")
	}
	if len(u.Codes) == 0 {
		return errors.New("audio_codes is empty, want at least one frame")
	}
	for _, ids := range u.ids() {
		for i, id := range ids.v {
			if id < 0 || int(id) >= l.TextVocab {
				return fmt.Errorf("%s[%d] is %d, want 0 … %d", ids.key, i, id, l.TextVocab-1)
			}
		}
	}
	for _, codes := range u.codes() {
		for f, frame := range codes.v {
			if len(frame) != l.Groups {
				return fmt.Errorf("%s[%d] has %d codes, want %d", codes.key, f, len(frame), l.Groups)
			}
			for g, code := range frame {
				if code < 0 || int(code) >= l.Codebook {
					return fmt.Errorf("%s[%d][%d] is %d, want 0 … %d", codes.key, f, g, code, l.Codebook-1)
				}
			}
		}
	}
	if n := len(u.Vector); n > 0 && l.Voice > 0 && n != l.Voice {
		return fmt.Errorf("speaker_vector has %d numbers, want %d", n, l.Voice)
	}
	return u.finite()
}

// checkShape reports what is wrong with u whatever model reads it; the message starts with the key.
func (u Utterance) checkShape() error {
	if len(u.Text) == 0 {
		return errors.New(`key "text_ids" is missing or empty, want at least one id`)
	}
	if len(u.Codes) == 0 || len(u.Codes[0]) == 0 {
		if u.From.Audio != "" {
			return errors.New(`key "audio_codes" is missing or empty, want at least one frame of codes (examples/prepare makes them from audio)`)
		}
		return errors.New(`key "audio_codes" is missing or empty, want at least one frame of codes`)
	}
	for _, ids := range u.ids() {
		for i, id := range ids.v {
			if id < 0 {
				return fmt.Errorf(`key %q[%d] is %d, want 0 … %d`, ids.key, i, id, math.MaxInt32)
			}
		}
	}
	for _, codes := range u.codes() {
		for f, frame := range codes.v {
			if len(frame) != len(u.Codes[0]) {
				return fmt.Errorf(`key %q[%d] has %d codes, want %d as audio_codes[0] has`, codes.key, f, len(frame), len(u.Codes[0]))
			}
			for g, code := range frame {
				if code < 0 {
					return fmt.Errorf(`key %q[%d][%d] is %d, want 0 … %d`, codes.key, f, g, code, math.MaxInt32)
				}
			}
		}
	}
	if err := u.finite(); err != nil {
		return fmt.Errorf("key %w", err)
	}
	return nil
}

// finite wants numbers in the speaker vector.
func (u Utterance) finite() error {
	for i, v := range u.Vector {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("speaker_vector[%d] is %v, want a finite number", i, v)
		}
	}
	return nil
}

// keyed is a value under its key in files.
type keyed[T any] struct {
	key string
	v   T
}

func (u Utterance) ids() []keyed[[]int32] {
	return []keyed[[]int32]{{"text_ids", u.Text}, {"instruct_ids", u.Instruct}, {"ref_text_ids", u.RefText}}
}

func (u Utterance) codes() []keyed[[][]int32] {
	return []keyed[[][]int32]{{"audio_codes", u.Codes}, {"ref_audio_codes", u.RefCodes}}
}
