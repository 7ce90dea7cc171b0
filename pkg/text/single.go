package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// single is what tokenizer.json says of the steps around the merging.
type single struct {
	model, normalizer string   // types
	patterns          []string // of its splits
	odd               string   // a setting of the model that changes ids, "" for none
}

// patterns of the two splits, as tokenizer.json has them.
var patterns = map[Split]string{
	SplitQwen2: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	SplitCased: `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|` +
		`\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
}

// readSingle reads tokenizer.json, whose merges are "a b" or ["a", "b"].
func (f *Files) readSingle() error {
	data, err := f.open(singleFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("text: %s: %w: neither %s nor %s", f.Dir, ErrNone, vocabFile, singleFile)
	}
	if err != nil {
		return err
	}
	var file struct {
		Model struct {
			Type    string            `json:"type"`
			Vocab   json.RawMessage   `json:"vocab"`
			Merges  []json.RawMessage `json:"merges"`
			Dropout float64           `json:"dropout"`
			Prefix  string            `json:"continuing_subword_prefix"`
			Suffix  string            `json:"end_of_word_suffix"`
			Whole   bool              `json:"ignore_merges"`
		} `json:"model"`
		Normalizer *struct {
			Type string `json:"type"`
		} `json:"normalizer"`
		PreTokenizer json.RawMessage `json:"pre_tokenizer"`
		Added        []struct {
			ID int32 `json:"id"`
			Added
		} `json:"added_tokens"`
	}
	path := f.path(singleFile)
	if err := parse(path, data, &file); err != nil {
		return err
	}
	m := &file.Model
	if f.Pieces, err = parsePieces(path+": model.vocab", m.Vocab); err != nil {
		return err
	}
	for i, raw := range m.Merges {
		var pair []string
		var line string
		if json.Unmarshal(raw, &pair) != nil && json.Unmarshal(raw, &line) == nil {
			pair = strings.Split(line, " ")
		}
		if len(pair) != 2 || slices.Contains(pair, "") {
			return fmt.Errorf("text: %s: merge %d is %s, want two pieces", path, i, clip(string(raw)))
		}
		f.Merges = append(f.Merges, Merge{pair[0], pair[1], i})
	}
	for _, a := range file.Added {
		if a.ID < 0 || a.ID >= maxIDs {
			return fmt.Errorf("text: %s: added_tokens: id %d of %q, want one from 0 to %d", path, a.ID, clip(a.Content), maxIDs-1)
		}
		if twin, ok := f.Added[a.ID]; ok {
			return fmt.Errorf("text: %s: added_tokens: id %d is both %q and %q", path, a.ID, twin.Content, a.Content)
		}
		f.Added[a.ID] = a.Added
	}
	f.single = &single{model: m.Type, patterns: regexps(file.PreTokenizer)}
	if file.Normalizer != nil {
		f.single.normalizer = file.Normalizer.Type
	}
	switch {
	case m.Dropout != 0:
		f.single.odd = "dropout"
	case m.Prefix != "":
		f.single.odd = "continuing_subword_prefix"
	case m.Suffix != "":
		f.single.odd = "end_of_word_suffix"
	case m.Whole:
		f.single.odd = "ignore_merges"
	}
	return nil
}

// regexps are the patterns of the splits of a pre-tokenizer, or of the sequence that it is.
func regexps(raw json.RawMessage) []string {
	var p struct {
		Pattern struct {
			Regex string `json:"Regex"`
		} `json:"pattern"`
		Sequence []json.RawMessage `json:"pretokenizers"`
	}
	if json.Unmarshal(raw, &p) != nil {
		return nil
	}
	var out []string
	if p.Pattern.Regex != "" {
		out = append(out, p.Pattern.Regex)
	}
	for _, inner := range p.Sequence {
		out = append(out, regexps(inner)...)
	}
	return out
}

// split is the split that tokenizer.json asks for; an error where it describes another kind of tokenizer.
func (s *single) split(path string) (Split, error) {
	switch {
	case s.model != "BPE":
		return 0, fmt.Errorf("text: %s: model.type is %q, want BPE", path, s.model)
	case s.odd != "":
		return 0, fmt.Errorf("text: %s: model.%s is set, which the Qwen2 tokenizer does not have", path, s.odd)
	case s.normalizer != "NFC":
		return 0, fmt.Errorf("text: %s: normalizer.type is %q, want NFC", path, s.normalizer)
	case len(s.patterns) != 1:
		return 0, fmt.Errorf("text: %s: pre_tokenizer has %d split patterns, want one", path, len(s.patterns))
	}
	for split, pattern := range patterns {
		if s.patterns[0] == pattern {
			return split, nil
		}
	}
	return 0, fmt.Errorf("text: %s: pre_tokenizer splits by %q, which is neither split of Qwen2 text", path, clip(s.patterns[0]))
}
