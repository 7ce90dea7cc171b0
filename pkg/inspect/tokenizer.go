package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tokenizer is the files of a byte-level BPE text tokenizer.
type tokenizer struct {
	files  []string         // names that were read
	ids    map[string]int64 // pieces of vocab.json
	merges [][2]string      // in order of rank
	added  map[int64]string // tokens that are matched whole
}

// readTokenizer reads vocab.json, merges.txt and tokenizer_config.json, or tokenizer.json where there is no vocab.json.
// It is nil where there is neither: a talker needs no tokenizer.
func readTokenizer(dir string) (*tokenizer, error) {
	t := &tokenizer{added: map[int64]string{}}
	there, err := t.readJSON(dir, "vocab.json", &t.ids)
	if err != nil {
		return nil, err
	}
	if !there {
		return t.readSingle(dir)
	}
	path := filepath.Join(dir, "merges.txt")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w (vocab.json is there)", err)
	}
	t.files = append(t.files, "merges.txt")
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSuffix(line, "\r"); line == "" || i == 0 && strings.HasPrefix(line, "#version:") {
			continue
		}
		a, b, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(b, " ") {
			return nil, fmt.Errorf("%s:%d: %q, want two pieces", path, i+1, line)
		}
		t.merges = append(t.merges, [2]string{a, b})
	}
	var config struct {
		Added map[string]struct {
			Content string `json:"content"`
		} `json:"added_tokens_decoder"`
	}
	if _, err := t.readJSON(dir, "tokenizer_config.json", &config); err != nil {
		return nil, err
	}
	for key, a := range config.Added {
		id, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: added_tokens_decoder: key %q, want an id", filepath.Join(dir, "tokenizer_config.json"), key)
		}
		t.added[id] = a.Content
	}
	return t, nil
}

// readSingle reads tokenizer.json, whose merges are "a b" or ["a", "b"].
func (t *tokenizer) readSingle(dir string) (*tokenizer, error) {
	var file struct {
		Model struct {
			Vocab  map[string]int64  `json:"vocab"`
			Merges []json.RawMessage `json:"merges"`
		} `json:"model"`
		Added []struct {
			ID      int64  `json:"id"`
			Content string `json:"content"`
		} `json:"added_tokens"`
	}
	there, err := t.readJSON(dir, "tokenizer.json", &file)
	if err != nil || !there {
		return nil, err
	}
	t.ids = file.Model.Vocab
	for i, raw := range file.Model.Merges {
		var pair []string
		if json.Unmarshal(raw, &pair) != nil {
			var line string
			if json.Unmarshal(raw, &line) == nil {
				pair = strings.Split(line, " ")
			}
		}
		if len(pair) != 2 {
			return nil, fmt.Errorf("%s: merge %d is %s, want two pieces", filepath.Join(dir, "tokenizer.json"), i, raw)
		}
		t.merges = append(t.merges, [2]string(pair))
	}
	for _, a := range file.Added {
		t.added[a.ID] = a.Content
	}
	return t, nil
}

// readJSON decodes a file of the folder; there is false where it is absent.
func (t *tokenizer) readJSON(dir, name string, into any) (there bool, err error) {
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	t.files = append(t.files, name)
	return true, nil
}

// tokens are all tokens by id; the second list has the ids that two of them claim.
func (t *tokenizer) tokens() (byID map[int64]string, clashes []int64) {
	byID = make(map[int64]string, len(t.ids)+len(t.added))
	for piece, id := range t.ids {
		if _, taken := byID[id]; taken {
			clashes = append(clashes, id)
		}
		byID[id] = piece
	}
	for id, content := range t.added {
		if piece, taken := byID[id]; taken && piece != content { // an added token may stand in vocab.json too
			clashes = append(clashes, id)
		}
		byID[id] = content
	}
	return byID, clashes
}
