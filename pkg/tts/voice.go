package tts

import (
	"fmt"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/talker"
)

// Voice is a voice to be cloned, as a base checkpoint hears it.
type Voice struct {
	Vector    []float32         // [H] of the speaker encoder
	Reference *talker.Reference // the recording itself and its transcript; nil to clone by the vector alone
}

// CheckRecording is the error that Encode has for a recording by itself.
func CheckRecording(samples []float32) error { return codec.CheckSamples(samples) }

// Clone hears a recording, mono samples at InputRate. With a transcript the talker goes on from the recording
// (in-context cloning), which keeps more of the voice than its vector does; without one, "", it has the vector.
func (l *Listener) Clone(samples []float32, transcript string) (*Voice, error) {
	if kind := l.Config.Type; kind != talker.Base {
		return nil, fmt.Errorf("tts: %s: a %q checkpoint clones no voices, want a %q one", l.dir, kind, talker.Base)
	}
	if l.speaker == nil {
		var err error
		if l.speaker, err = l.openSpeaker(); err != nil {
			return nil, err
		}
	}
	v := &Voice{}
	var err error
	if v.Vector, err = l.speaker.Embed(samples); err != nil {
		return nil, err
	}
	if transcript == "" {
		return v, nil
	}
	ids, err := l.Text.Reference(transcript)
	if err != nil {
		return nil, err
	}
	heard, err := l.Encode([][]float32{samples})
	if err != nil {
		return nil, err
	}
	v.Reference = &talker.Reference{Text: ids, Codes: heard[0]}
	return v, nil
}
