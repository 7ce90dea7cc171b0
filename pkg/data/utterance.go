package data

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Utterance is one spoken text.
type Utterance struct {
	ID       string    // name in messages and reports
	Text     []int32   // token ids of the body only: no role tokens, no end marks
	Speaker  string    // lower-case name, a key of the checkpoint's spk_id
	Language string    // "auto" or a key of codec_language_id
	Codes    [][]int32 // [frames][groups]; group 0 is the semantic codebook
}

// Source is a stream of utterances. Next returns io.EOF after the last one.
type Source interface {
	Next() (Utterance, error)
}

// Set is random access to a fixed number of utterances. At is a pure function of i.
type Set interface {
	Len() int
	At(i int) (Utterance, error)
}

// Limits are the sizes of the model that will read an utterance.
type Limits struct {
	TextVocab int // text ids are 0 … TextVocab-1
	Groups    int // codes per frame
	Codebook  int // codes are 0 … Codebook-1
}

// Frames is the number of audio frames, 80 ms each.
func (u Utterance) Frames() int { return len(u.Codes) }

// Check reports the first value of u that a model with limits l cannot read: an empty text, no frames, a frame with
// another number of codes, an id outside its table.
func (u Utterance) Check(l Limits) error {
	if len(u.Text) == 0 {
		return fmt.Errorf("data: utterance %q: text_ids is empty, want at least one id", u.ID)
	}
	for i, id := range u.Text {
		if id < 0 || int(id) >= l.TextVocab {
			return fmt.Errorf("data: utterance %q: text_ids[%d] is %d, want 0 … %d", u.ID, i, id, l.TextVocab-1)
		}
	}
	if len(u.Codes) == 0 {
		return fmt.Errorf("data: utterance %q: audio_codes is empty, want at least one frame", u.ID)
	}
	for f, frame := range u.Codes {
		if len(frame) != l.Groups {
			return fmt.Errorf("data: utterance %q: audio_codes[%d] has %d codes, want %d", u.ID, f, len(frame), l.Groups)
		}
		for g, code := range frame {
			if code < 0 || int(code) >= l.Codebook {
				return fmt.Errorf("data: utterance %q: audio_codes[%d][%d] is %d, want 0 … %d", u.ID, f, g, code, l.Codebook-1)
			}
		}
	}
	return nil
}

// checkShape reports what is wrong with u whatever model reads it; the message starts with the key.
func (u Utterance) checkShape() error {
	if len(u.Text) == 0 {
		return errors.New(`key "text_ids" is missing or empty, want at least one id`)
	}
	for i, id := range u.Text {
		if id < 0 {
			return fmt.Errorf(`key "text_ids"[%d] is %d, want 0 … %d`, i, id, math.MaxInt32)
		}
	}
	if len(u.Codes) == 0 || len(u.Codes[0]) == 0 {
		return errors.New(`key "audio_codes" is missing or empty, want at least one frame of codes`)
	}
	for f, frame := range u.Codes {
		if len(frame) != len(u.Codes[0]) {
			return fmt.Errorf(`key "audio_codes"[%d] has %d codes, want %d as in frame 0`, f, len(frame), len(u.Codes[0]))
		}
		for g, code := range frame {
			if code < 0 {
				return fmt.Errorf(`key "audio_codes"[%d][%d] is %d, want 0 … %d`, f, g, code, math.MaxInt32)
			}
		}
	}
	return nil
}

// List is a Set held in memory.
type List []Utterance

// Len is the number of utterances.
func (l List) Len() int { return len(l) }

// At returns utterance i, 0 ≤ i < Len.
func (l List) At(i int) (Utterance, error) {
	if i < 0 || i >= len(l) {
		return Utterance{}, fmt.Errorf("data: utterance %d of a list of %d", i, len(l))
	}
	return l[i], nil
}

// ErrEmpty is the error of reading data that holds no utterance.
var ErrEmpty = errors.New("no utterances, want at least one")

// ReadAll reads src to its end. A source without utterances is an error that wraps ErrEmpty.
func ReadAll(src Source) (List, error) {
	var l List
	for {
		u, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		l = append(l, u)
	}
	if len(l) == 0 {
		if named, ok := src.(interface{ Name() string }); ok {
			return nil, fmt.Errorf("data: %s: %w", named.Name(), ErrEmpty)
		}
		return nil, fmt.Errorf("data: %w", ErrEmpty)
	}
	return l, nil
}

// Stream reads set from its first utterance to its last.
func Stream(set Set) Source { return &stream{set: set} }

type stream struct {
	set  Set
	next int
}

func (s *stream) Next() (Utterance, error) {
	if s.next >= s.set.Len() {
		return Utterance{}, io.EOF
	}
	s.next++
	return s.set.At(s.next - 1)
}
