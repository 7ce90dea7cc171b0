package tts

import (
	"fmt"
	"slices"

	"github.com/qakd/qakd/pkg/talker"
)

// Layout is how the talker is shown a text.
type Layout string

const (
	ByKind    Layout = ""          // as the reference does: streaming to clone a voice, else whole
	Whole     Layout = "whole"     // the whole text, then the speech
	Streaming Layout = "streaming" // a token with each frame, as if the text were still being written
)

// Layouts lists the names.
func Layouts() []Layout { return []Layout{ByKind, Whole, Streaming} }

// Line is a text to be spoken. Which voice it can have depends on the checkpoint: see talker.Config.Serves.
type Line struct {
	ID       string // names the random stream and messages
	Text     string
	Language string // "auto" (also ""), or a language of the checkpoint, in any case
	Speaker  string // a preset voice, in any case
	Voice    *Voice // a cloned voice
	Instruct string // how to speak, or with voice_design who; "" for none
	Layout   Layout
}

// Request turns a line into the talker's ids.
func (s *Listener) Request(l Line) (talker.Request, error) {
	r, err := s.request(l)
	if err != nil {
		return r, fmt.Errorf("tts: line %q: %w", l.ID, err)
	}
	return r, nil
}

func (s *Listener) request(l Line) (r talker.Request, err error) {
	cfg := s.Config
	r.ID, r.Language = l.ID, l.Language
	if r.Text, err = s.Text.Body(l.Text); err != nil {
		return r, err
	}
	if r.Instruct, err = s.Text.Instruct(l.Instruct); err != nil {
		return r, err
	}
	switch {
	case l.Speaker != "" && l.Voice != nil:
		return r, fmt.Errorf("has a speaker, %q, and a cloned voice, want one of them", l.Speaker)
	case l.Speaker != "":
		if len(cfg.Talker.SpeakerIDs) == 0 {
			return r, fmt.Errorf("speaker %q: a %q checkpoint has no preset speakers", l.Speaker, cfg.Type)
		}
		v, err := cfg.PresetVoice(l.Speaker)
		if err != nil {
			return r, err
		}
		r.Voice = &v
	case l.Voice != nil:
		r.Voice, r.Reference = &talker.Voice{Vector: l.Voice.Vector}, l.Voice.Reference
	}
	if !slices.Contains(Layouts(), l.Layout) {
		return r, fmt.Errorf("layout %q, want one of %q", l.Layout, Layouts())
	}
	r.Streaming = l.Layout == Streaming || l.Layout == ByKind && cfg.Type == talker.Base
	return r, nil
}
