package data

import (
	"errors"
	"fmt"
	"io"
)

// Utterance is one spoken text, with everything that some prompt can be laid out from. A model reads what it has a place
// for: a voice clone the vector, a checkpoint of preset voices the speaker.
type Utterance struct {
	ID       string    // name in messages and reports
	Text     []int32   // token ids of the body only: no role tokens, no end marks
	Speaker  string    // who speaks: a preset voice is a key of the checkpoint's spk_id, in any case
	Language string    // "auto" (also ""), or a key of codec_language_id
	Codes    [][]int32 // [frames][groups]; group 0 is the semantic codebook

	Instruct []int32   // token ids of a whole instruction turn, role and end marks included; nil for none
	Vector   []float32 // [H] the voice as the speaker encoder hears it; nil for none
	RefText  []int32   // what the reference audio says: token ids of the body; nil for none
	RefCodes [][]int32 // [frames][groups] codes of the reference audio; nil for none
	// Streaming reveals one text token a frame instead of the whole text up front. Files have no such key: it is a matter
	// of the prompt, not of what was said.
	Streaming bool

	From Origin
}

// Origin is what the ids and codes of an utterance were made of. Files carry it through; no model reads it.
type Origin struct {
	Text, Instruct, RefText string // as written
	Audio, RefAudio         string // paths
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

// Epochs is a Set whose utterances change from one pass over it to the next. In is a pure function of epoch and i, and
// At(i) is In(0, i).
type Epochs interface {
	Set
	In(epoch, i int) (Utterance, error)
}

// Frames is the number of audio frames, 80 ms each.
func (u Utterance) Frames() int { return len(u.Codes) }

// rows is about how long the utterance's prompt and speech are, for sorting by length.
func (u Utterance) rows() int {
	return len(u.Text) + len(u.Codes) + len(u.Instruct) + len(u.RefText) + len(u.RefCodes)
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
