package text

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

// Names of the files.
const (
	vocabFile  = "vocab.json"
	mergesFile = "merges.txt"
	configFile = "tokenizer_config.json"
	singleFile = "tokenizer.json"
)

// Files is what the files of a tokenizer say, each entry well-formed; whether they fit together is New's to check.
type Files struct {
	Dir    string
	Names  []string         // of the files that were read
	Pieces map[string]int32 // id of each piece; pieces are spelled in the byte alphabet ("Ġthe")
	Merges []Merge          // in order of rank
	Added  map[int32]Added  // by id
	single *single          // what tokenizer.json says besides; nil without one
}

// Merge joins two neighbors to one piece, spelled as both in a row.
type Merge struct {
	Left, Right string
	Line        int // of merges.txt, from 1; with tokenizer.json, its place in the list, from 0
}

// Added is a token that is matched as a whole.
type Added struct {
	Content    string `json:"content"`
	Special    bool   `json:"special"`     // has a meaning beyond its text
	Normalized bool   `json:"normalized"`  // matched after normalization, not before
	LStrip     bool   `json:"lstrip"`      // would swallow white space to its left
	RStrip     bool   `json:"rstrip"`      // would swallow white space to its right
	SingleWord bool   `json:"single_word"` // would not match within words
}

// ErrNone is what Read's error wraps where a folder has no tokenizer at all.
var ErrNone = errors.New("no text tokenizer")

// Read reads vocab.json, merges.txt and tokenizer_config.json of a folder, or tokenizer.json where there is no vocab.json.
// A folder without tokenizer_config.json has no added tokens, which Read lets pass and New does not.
func Read(dir string) (*Files, error) {
	f := &Files{Dir: dir, Added: map[int32]Added{}}
	data, err := f.open(vocabFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.readSingle(); err != nil {
			return nil, err
		}
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	if f.Pieces, err = parsePieces(f.path(vocabFile), data); err != nil {
		return nil, err
	}
	if data, err = f.open(mergesFile); err != nil {
		return nil, fmt.Errorf("%w (%s is there)", err, vocabFile)
	}
	if f.Merges, err = parseMerges(f.path(mergesFile), string(data)); err != nil {
		return nil, err
	}
	if data, err = f.open(configFile); errors.Is(err, fs.ErrNotExist) {
		return f, nil
	} else if err != nil {
		return nil, err
	}
	if f.Added, err = parseConfig(f.path(configFile), data); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Files) path(name string) string { return filepath.Join(f.Dir, name) }

func (f *Files) open(name string) ([]byte, error) {
	data, err := os.ReadFile(f.path(name))
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	f.Names = append(f.Names, name)
	return data, nil
}

// parseMerges reads one merge a line. The first line may name a version; empty lines count as lines, not as merges.
func parseMerges(path, data string) ([]Merge, error) {
	var out []Merge
	for i, line := range strings.Split(data, "\n") {
		if line = strings.TrimSuffix(line, "\r"); line == "" || i == 0 && strings.HasPrefix(line, "#version:") {
			continue
		}
		left, right, ok := strings.Cut(line, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return nil, fmt.Errorf("text: %s:%d: %q, want two pieces", path, i+1, clip(line))
		}
		out = append(out, Merge{left, right, i + 1})
	}
	return out, nil
}

// parseConfig reads the added tokens of tokenizer_config.json.
func parseConfig(path string, data []byte) (map[int32]Added, error) {
	var config struct {
		Added       map[string]Added `json:"added_tokens_decoder"`
		PrefixSpace bool             `json:"add_prefix_space"`
	}
	if err := parse(path, data, &config); err != nil {
		return nil, err
	}
	if config.PrefixSpace {
		return nil, fmt.Errorf("text: %s: add_prefix_space is true, want false: text is taken as it is", path)
	}
	out := make(map[int32]Added, len(config.Added))
	for key, a := range config.Added {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 || id >= maxIDs {
			return nil, fmt.Errorf("text: %s: added_tokens_decoder: key %q, want an id from 0 to %d", path, clip(key), maxIDs-1)
		}
		if twin, ok := out[int32(id)]; ok {
			return nil, fmt.Errorf("text: %s: added_tokens_decoder: id %d is both %q and %q", path, id, min(twin.Content, a.Content), max(twin.Content, a.Content))
		}
		out[int32(id)] = a
	}
	return out, nil
}

// parse decodes a JSON file; an error says where.
func parse(path string, data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	return fmt.Errorf("text: %s: %w", at(path, data, err), err)
}

// at is a file with the line of a JSON error, where the error has one.
func at(path string, data []byte, err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	offset := int64(-1)
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	if offset < 0 || offset > int64(len(data)) {
		return path
	}
	return fmt.Sprintf("%s:%d", path, 1+strings.Count(string(data[:offset]), "\n"))
}

// clip shortens what an error quotes.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
