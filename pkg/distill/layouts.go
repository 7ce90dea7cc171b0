package distill

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/talker"
)

// Voice is where a prompt takes its voice from.
type Voice string

// The voices, by kind of checkpoint.
const (
	XVector   Voice = "xvector"    // base: the speaker vector
	InContext Voice = "in_context" // base: the speaker vector, and reference speech to go on from
	Preset    Voice = "preset"     // custom voice: a speaker of the checkpoint; an instruction, where the row has one
	Design    Voice = "design"     // voice design: an instruction alone
)

// Layout is one of the ways to lay out a prompt.
type Layout struct {
	Voice     Voice
	Streaming bool // one text token a frame; otherwise the whole text comes first
	Explicit  bool // the language is named
}

// String names it, e.g. "xvector, streaming, auto".
func (l Layout) String() string { return fmt.Sprintf("%s, %s, %s", l.Voice, l.Text(), l.Language()) }

// Text is "streaming" or "whole".
func (l Layout) Text() string {
	if l.Streaming {
		return "streaming"
	}
	return "whole"
}

// Language is "explicit" or "auto".
func (l Layout) Language() string {
	if l.Explicit {
		return "explicit"
	}
	return "auto"
}

// Layouts weighs the layouts of prompts: each utterance is laid out in one of those that it has the parts for, drawn with
// these weights anew in every epoch (see Mix). Voice, text and language are drawn independently. Where a group has no
// weight at all, it is what the reference implementation does unless told otherwise: by the kind of checkpoint, xvector
// and streaming (base), preset and whole (custom voice), design and whole (voice design); language auto.
type Layouts struct {
	XVector   float64 `toml:"xvector"`
	InContext float64 `toml:"in_context"`
	Preset    float64 `toml:"preset"`
	Design    float64 `toml:"design"`

	Text       TextWeights     `toml:"text"`
	Language   LanguageWeights `toml:"language"`
	References References      `toml:"references"`
}

// TextWeights weighs the ways in which the text arrives.
type TextWeights struct {
	Streaming float64 `toml:"streaming"`
	Whole     float64 `toml:"whole"`
}

// LanguageWeights weighs naming the language against leaving it open. Utterances without a language leave it open.
type LanguageWeights struct {
	Auto     float64 `toml:"auto"`
	Explicit float64 `toml:"explicit"`
}

// References says where in_context takes reference speech from.
type References string

const (
	// FromRow, also "", is the row's own ref_text_ids and ref_audio_codes.
	FromRow References = "row"
	// FromSpeaker is text and codes of another utterance of the same speaker, drawn anew in every epoch, and the row's own
	// where there is no other: for data whose rows name their speaker, such as a teacher's speech. The voice vector stays
	// the row's.
	FromSpeaker References = "speaker"
)

// UnmarshalText accepts the names above.
func (r *References) UnmarshalText(text []byte) error {
	v := References(text)
	if !slices.Contains(r.choices(), v) {
		return fmt.Errorf("%q, want one of: %s", text, strings.Join(r.Choices(), ", "))
	}
	*r = v
	return nil
}

func (References) choices() []References { return []References{FromRow, FromSpeaker} }

// Choices lists the names.
func (References) Choices() []string { return []string{string(FromRow), string(FromSpeaker)} }

// weighted is a weight under its key.
type weighted[T any] struct {
	key    string
	value  T
	weight float64
}

func (l *Layouts) voices() []weighted[Voice] {
	return []weighted[Voice]{
		{"xvector", XVector, l.XVector}, {"in_context", InContext, l.InContext}, {"preset", Preset, l.Preset}, {"design", Design, l.Design},
	}
}

func (l *Layouts) texts() []weighted[bool] {
	return []weighted[bool]{{"text.whole", false, l.Text.Whole}, {"text.streaming", true, l.Text.Streaming}}
}

func (l *Layouts) languages() []weighted[bool] {
	return []weighted[bool]{{"language.auto", false, l.Language.Auto}, {"language.explicit", true, l.Language.Explicit}}
}

// Validate reports all violations.
func (l Layouts) Validate() error {
	var errs []error
	check := func(key string, w float64) {
		if !(w >= 0) || math.IsInf(w, 0) {
			errs = append(errs, fmt.Errorf("layouts.%s is %v, want a finite number of at least 0", key, w))
		}
	}
	for _, w := range l.voices() {
		check(w.key, w.weight)
	}
	for _, w := range slices.Concat(l.texts(), l.languages()) {
		check(w.key, w.weight)
	}
	if l.References != "" && !slices.Contains(l.References.choices(), l.References) {
		errs = append(errs, fmt.Errorf("layouts.references is %q, want one of: %s", l.References, strings.Join(l.References.Choices(), ", ")))
	}
	return errors.Join(errs...)
}

// served are the voices of each kind of checkpoint; the first is what it does unless told otherwise.
var served = map[string][]Voice{
	talker.Base: {XVector, InContext}, talker.CustomVoice: {Preset}, talker.VoiceDesign: {Design},
}

// For fills in the groups that have no weight, for checkpoints like cfg, and reports every weight on a voice that they do
// not have.
func (l Layouts) For(cfg *talker.Config) (Layouts, error) {
	errs := []error{l.Validate()}
	voices, total := served[cfg.Type], 0.0
	for _, w := range l.voices() {
		total += w.weight
		if w.weight > 0 && !slices.Contains(voices, w.value) {
			errs = append(errs, fmt.Errorf("layouts.%s is %v, want 0: a %q checkpoint has the voices %q", w.key, w.weight, cfg.Type, voices))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Layouts{}, err
	}
	if total == 0 {
		for _, v := range []struct {
			voice  Voice
			weight *float64
		}{{XVector, &l.XVector}, {Preset, &l.Preset}, {Design, &l.Design}} {
			if v.voice == voices[0] {
				*v.weight = 1
			}
		}
	}
	if l.Text == (TextWeights{}) && cfg.Type == talker.Base {
		l.Text.Streaming = 1
	} else if l.Text == (TextWeights{}) {
		l.Text.Whole = 1
	}
	if l.Language == (LanguageWeights{}) {
		l.Language.Auto = 1
	}
	return l, nil
}

// LayoutOf is the layout that Rows and Request give an utterance as it stands.
func LayoutOf(cfg *talker.Config, u data.Utterance) Layout {
	l := Layout{Voice: served[cfg.Type][0], Streaming: u.Streaming, Explicit: named(u.Language)}
	if cfg.Type == talker.Base && hasReference(u) {
		l.Voice = InContext
	}
	return l
}

// named tells whether a language is more than "auto".
func named(language string) bool { return language != "" && !strings.EqualFold(language, "auto") }
