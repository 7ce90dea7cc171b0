package talker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Request is a text to be spoken. Which of its parts go together depends on the checkpoint; see Config.Serves.
type Request struct {
	ID        string
	Text      []int32    // token ids of the body
	Instruct  []int32    // ids of a whole instruction turn, before the prompt; empty for none
	Voice     *Voice     // nil for a voice that the instruction describes
	Reference *Reference // speech of that voice to go on from (in-context cloning); nil for none
	Language  string     // "auto" (also ""), or a key of codec_language_id, in any case
	// Streaming reveals one text token per frame, as if the text were still being written.
	Streaming bool
}

// Reference is recorded speech with its transcript.
type Reference struct {
	Text  []int32   // token ids of the transcript: no role, no end marks
	Codes [][]int32 // [frames][G]
}

// Prompt is what one utterance is decoded from.
type Prompt struct {
	Sequence
	// Trailing text tokens are added to the decoded frames, one each; then the pad token is.
	Trailing []int32
}

// DecodingRows lays out a request: with the whole text up front, or streaming; with reference speech or without. It is an
// error if the checkpoint does not serve such requests, if an id or code is outside its table, and if the prompt is
// longer than the model's positions.
func DecodingRows(cfg *Config, r Request) (Prompt, error) {
	p, err := decodingRows(cfg, r)
	if err != nil {
		return Prompt{}, fmt.Errorf("talker: request %q: %w", r.ID, err)
	}
	return p, nil
}

func decodingRows(cfg *Config, r Request) (Prompt, error) {
	if err := cfg.checkText("text", r.Text); err != nil {
		return Prompt{}, err
	}
	language, err := cfg.language(r.Language, r.Voice)
	if err != nil {
		return Prompt{}, err
	}
	if err := cfg.Serves(r); err != nil {
		return Prompt{}, err
	}
	if err := cfg.checkContext(r); err != nil {
		return Prompt{}, err
	}
	p := lay(cfg, cfg.Role(), language, r)
	return p, cfg.fits(len(p.Rows), len(p.Trailing))
}

// Complete is the teacher-forced sequence of a prompt and the speech that follows it, codes [frames][G]: the rows that
// decoding feeds if it draws just these codes and then the end. Each frame is labelled with its code 0, the end row with
// the end; the frames of a reference are no labels.
func (p Prompt) Complete(cfg *Config, codes [][]int32) (Sequence, error) {
	s, err := p.Continue(cfg, codes)
	if err != nil {
		return Sequence{}, err
	}
	eos := cfg.Talker.CodecEos
	s.Rows = append(s.Rows, Row{Text: p.textAt(cfg, len(codes)), Codec: eos, Label: eos})
	return s, nil
}

// Continue is Complete for speech that does not end with its last frame: it was cut off.
func (p Prompt) Continue(cfg *Config, codes [][]int32) (Sequence, error) {
	if len(codes) == 0 {
		return Sequence{}, fmt.Errorf("talker: %q has no frames, want at least one", p.ID)
	}
	if err := cfg.checkCodes("frame", codes); err != nil {
		return Sequence{}, fmt.Errorf("talker: %q: %w", p.ID, err)
	}
	s := p.Sequence
	s.Rows = slices.Grow(slices.Clone(s.Rows), len(codes)+1)
	for k, f := range codes {
		row := frameRow(p.textAt(cfg, k), f)
		row.Label = f[0]
		s.Rows = append(s.Rows, row)
	}
	if err := cfg.fits(len(s.Rows), 0); err != nil {
		return Sequence{}, fmt.Errorf("talker: %q with %d frames: %w", p.ID, len(codes), err)
	}
	return s, nil
}

// textAt is the text token that is added to decoded frame k.
func (p Prompt) textAt(cfg *Config, k int) int32 {
	if k < len(p.Trailing) {
		return p.Trailing[k]
	}
	return cfg.PadText
}

// language is the codec id of a language name, or None for "auto". A dialect speaker speaks the dialect where Chinese is
// asked for, or nothing.
func (c *Config) language(name string, voice *Voice) (int32, error) {
	ids := c.Talker.LanguageIDs
	key := strings.ToLower(name)
	auto := key == "" || key == "auto"
	id, ok := ids[key]
	if strings.Contains(key, "dialect") || !ok && !auto {
		known := slices.DeleteFunc(slices.Sorted(maps.Keys(ids)), func(k string) bool { return strings.Contains(k, "dialect") })
		return None, fmt.Errorf("language %q is not known, want auto or one of %q", name, known)
	}
	switch {
	case voice != nil && voice.Dialect != "" && (auto || key == "chinese"):
		return ids[string(voice.Dialect)], nil
	case auto:
		return None, nil
	}
	return id, nil
}
