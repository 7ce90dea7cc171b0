package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// row is an utterance as a line of JSON. Field order is the order in the file.
type row struct {
	ID       string    `json:"id"`
	Written  string    `json:"text,omitempty"`
	Text     []int32   `json:"text_ids"`
	Speaker  string    `json:"speaker"`
	Language string    `json:"language"`
	Voice    []float32 `json:"speaker_vector,omitempty"`

	WrittenInstruct string  `json:"instruct,omitempty"`
	Instruct        []int32 `json:"instruct_ids,omitempty"`

	WrittenRef string    `json:"ref_text,omitempty"`
	RefText    []int32   `json:"ref_text_ids,omitempty"`
	RefAudio   string    `json:"ref_audio,omitempty"`
	RefCodes   [][]int32 `json:"ref_audio_codes,omitempty"`

	Audio string    `json:"audio,omitempty"`
	Codes [][]int32 `json:"audio_codes"`
}

func rowOf(u Utterance) row {
	return row{
		ID: u.ID, Text: u.Text, Speaker: u.Speaker, Language: u.Language, Voice: u.Vector, Instruct: u.Instruct,
		RefText: u.RefText, RefCodes: u.RefCodes, Codes: u.Codes,
		Written: u.From.Text, WrittenInstruct: u.From.Instruct, WrittenRef: u.From.RefText,
		Audio: u.From.Audio, RefAudio: u.From.RefAudio,
	}
}

// field is where the value of a key goes, and what it must be.
type field struct {
	key    string
	target any
	want   string
}

// fields are the keys of a row.
func (u *Utterance) fields() []field {
	const word, path, ids, codes = "a string", "a string (a path)", "a list of 32-bit token ids", "a list of frames, each a list of 32-bit codes"
	return []field{
		{"id", &u.ID, word},
		{"text", &u.From.Text, word}, {"text_ids", &u.Text, ids},
		{"speaker", &u.Speaker, word}, {"language", &u.Language, word}, {"speaker_vector", &u.Vector, "a list of numbers"},
		{"instruct", &u.From.Instruct, word}, {"instruct_ids", &u.Instruct, ids},
		{"ref_text", &u.From.RefText, word}, {"ref_text_ids", &u.RefText, ids},
		{"ref_audio", &u.From.RefAudio, path}, {"ref_audio_codes", &u.RefCodes, codes},
		{"audio", &u.From.Audio, path}, {"audio_codes", &u.Codes, codes},
	}
}

// set decodes one field of a row into u.
func (u *Utterance) set(key string, raw json.RawMessage) error {
	fields := u.fields()
	at := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
	if at < 0 {
		var known []string
		for _, f := range fields {
			known = append(known, f.key)
		}
		return fmt.Errorf("unknown key %q, want one of: %s", key, strings.Join(known, ", "))
	}
	if err := json.Unmarshal(raw, fields[at].target); err != nil {
		found := string(raw)
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) {
			found = te.Value
		}
		return fmt.Errorf("key %q holds %s, want %s", key, clip(found), fields[at].want)
	}
	return nil
}

// clip keeps a quoted value readable on one line.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// Tokenizer turns the texts of a row into token ids, as the checkpoint's own tokenizer does.
type Tokenizer interface {
	Body(text string) ([]int32, error)      // what is to be spoken: no role tokens, no end marks
	Reference(text string) ([]int32, error) // what a reference says, likewise
	Instruct(text string) ([]int32, error)  // a whole instruction turn
}

// tokenize fills in the ids that the row has text for, and takes an empty list for none.
func (u *Utterance) tokenize(t Tokenizer) error {
	type part struct {
		key  string // of the text; its ids are under key_ids
		text string
		ids  *[]int32
		with func(string) ([]int32, error)
	}
	parts := []part{{key: "text", text: u.From.Text, ids: &u.Text}, {key: "instruct", text: u.From.Instruct, ids: &u.Instruct},
		{key: "ref_text", text: u.From.RefText, ids: &u.RefText}}
	if t != nil {
		parts[0].with, parts[1].with, parts[2].with = t.Body, t.Instruct, t.Reference
	}
	for _, p := range parts {
		switch {
		case len(*p.ids) > 0:
			continue
		case p.text == "":
			*p.ids = nil
			continue
		case p.with == nil:
			return fmt.Errorf("key %q is text and no tokenizer is at hand, want %q beside it", p.key, p.key+"_ids")
		}
		ids, err := p.with(p.text)
		if err != nil {
			return fmt.Errorf("key %q: %w", p.key, err)
		}
		if *p.ids = ids; len(ids) == 0 {
			return fmt.Errorf("key %q is %q, which has no tokens, want at least one", p.key, clip(p.text))
		}
	}
	if len(u.Vector) == 0 {
		u.Vector = nil
	}
	if len(u.RefCodes) == 0 {
		u.RefCodes = nil
	}
	return nil
}
