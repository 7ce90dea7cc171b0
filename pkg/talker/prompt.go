package talker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Request is a text to be spoken.
type Request struct {
	ID       string
	Text     []int32 // token ids of the body
	Instruct []int32 // ids of a whole instruction turn, before the prompt; empty for none
	Voice    *Voice  // nil for a voice that the instruction describes
	Language string  // "auto" (also ""), or a key of codec_language_id, in any case
	// Streaming reveals one text token per frame, as if the text were still being written.
	Streaming bool
}

// DecodingRows lays out a request: with the whole text up front like FineTuningRows, or streaming.
func DecodingRows(cfg *Config, r Request) (Prompt, error) {
	if len(r.Text) == 0 {
		return Prompt{}, fmt.Errorf("talker: %q has no text, want at least one token", r.ID)
	}
	language, err := cfg.language(r.Language, r.Voice)
	if err != nil {
		return Prompt{}, fmt.Errorf("talker: %q: %w", r.ID, err)
	}
	p := Prompt{Sequence: Sequence{ID: r.ID}}
	if r.Voice != nil {
		p.Speaker = r.Voice.Vector
	}
	for _, id := range r.Instruct {
		p.Rows = append(p.Rows, textRow(id, None))
	}
	p.Rows = append(p.Rows, openingRows(cfg, cfg.Role(), cfg.Talker.tag(language), r.Voice)...)
	if !r.Streaming {
		p.Rows = append(p.Rows, wholeText(cfg, r.Text)...)
		return p, nil
	}
	p.Rows = append(p.Rows, textRow(r.Text[0], cfg.Talker.CodecBos))
	p.Trailing = append(slices.Clone(r.Text[1:]), cfg.EosText)
	return p, nil
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
