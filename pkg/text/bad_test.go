package text_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/text"
)

// bytePieces is vocab.json with the 256 bytes and what more adds, ids as given.
func bytePieces(t testing.TB, more map[string]any, without ...string) string {
	t.Helper()
	var all map[string]int
	readJSON(t, filepath.Join(small, "vocab.json"), &all)
	out := map[string]any{}
	for piece, id := range all {
		if id < 256 {
			out[piece] = id
		}
	}
	maps.Copy(out, more)
	for _, piece := range without {
		delete(out, piece)
	}
	data, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// write makes a folder of files; an empty text leaves the file out.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if data == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// good are files of a tokenizer with one merge and one added token.
func good(t testing.TB) map[string]string {
	return map[string]string{
		"vocab.json":            bytePieces(t, map[string]any{"ab": 256}),
		"merges.txt":            "#version: 0.2\na b\n",
		"tokenizer_config.json": `{"added_tokens_decoder":{"257":{"content":"<x>"}}}`,
	}
}

func TestSmallestTokenizer(t *testing.T) {
	for name, change := range map[string]map[string]string{
		"version": {}, "no version": {"merges.txt": "a b"}, "CRLF": {"merges.txt": "#version: 0.2\r\na b\r\n\r\n"},
		"added among the pieces": {"vocab.json": bytePieces(t, map[string]any{"ab": 256, "<x>": 257})},
	} {
		files := good(t)
		maps.Copy(files, change)
		tok := load(t, write(t, files))
		if got := tok.Encode("cab<x>"); len(got) != 3 || got[1] != 256 || got[2] != 257 || tok.Size() != 258 {
			t.Errorf("%s: %v of %d", name, got, tok.Size())
		}
	}
}

// TestBadFiles: one clear error for each way in which files are broken, with file and line or key.
func TestBadFiles(t *testing.T) {
	vocab := func(more map[string]any, without ...string) string { return bytePieces(t, more, without...) }
	added := func(s string) string { return `{"added_tokens_decoder":{` + s + `}}` }
	for name, tt := range map[string]struct{ file, data, want string }{
		"no vocab":        {"vocab.json", "", "no text tokenizer: neither vocab.json nor tokenizer.json"},
		"no merges":       {"merges.txt", "", "merges.txt: no such file or directory (vocab.json is there)"},
		"no config":       {"tokenizer_config.json", "", "tokenizer_config.json is missing, which lists the added tokens"},
		"vocab cut":       {"vocab.json", vocab(nil)[:500], "vocab.json:1: unexpected end of JSON input"},
		"vocab list":      {"vocab.json", `["a"]`, "vocab.json: begins with [, want an object of piece: id"},
		"vocab no JSON":   {"vocab.json", "\n\nhello", "vocab.json:3: invalid character 'h'"},
		"vocab pointer":   {"vocab.json", "version https://git-lfs.github.com/spec/v1\n", "vocab.json:1: invalid character 'v'"},
		"vocab empty":     {"vocab.json", "{}", "vocab.json: no pieces, want at least those of the 256 bytes"},
		"vocab tail":      {"vocab.json", vocab(map[string]any{"ab": 256}) + "{}", "vocab.json: something follows the object of pieces"},
		"id text":         {"vocab.json", vocab(map[string]any{"ab": "256"}), `vocab.json: the id of piece "ab" is 256, want an integer`},
		"id fraction":     {"vocab.json", vocab(map[string]any{"ab": 256.5}), `the id of piece "ab" is 256.5, want an integer`},
		"id negative":     {"vocab.json", vocab(map[string]any{"ab": -1}), `the id of piece "ab" is -1, want an integer from 0`},
		"id huge":         {"vocab.json", vocab(map[string]any{"ab": 1 << 40}), `the id of piece "ab" is 1099511627776, want`},
		"id list":         {"vocab.json", vocab(map[string]any{"ab": []int{1}}), `the id of piece "ab" is [, want an integer`},
		"id twice":        {"vocab.json", vocab(map[string]any{"ab": 7, "(": 7}), `vocab.json: id 7 is both "(" and "ab"`},
		"piece twice":     {"vocab.json", `{"a":1,"a":2}`, `vocab.json: piece "a" stands there twice`},
		"piece empty":     {"vocab.json", vocab(map[string]any{"ab": 256, "": 258}), "vocab.json: the piece of id 258 is empty"},
		"byte missing":    {"vocab.json", vocab(map[string]any{"ab": 256}, "Ġ"), `vocab.json: no piece "Ġ", which stands for byte 0x20`},
		"three parts":     {"merges.txt", "a b\na b c\n", `merges.txt:2: "a b c", want two pieces`},
		"one part":        {"merges.txt", "ab\n", `merges.txt:1: "ab", want two pieces`},
		"empty part":      {"merges.txt", "a \n", `merges.txt:1: "a ", want two pieces`},
		"tab":             {"merges.txt", "a\tb\n", `merges.txt:1: "a\tb", want two pieces`},
		"late version":    {"merges.txt", "a b\n#version: 0.2\n", `merges.txt:2: merge of "#version:" and "0.2"`},
		"part unknown":    {"merges.txt", "a b\n\nab cd\n", `merges.txt:3: merge of "ab" and "cd": DIR/vocab.json has no piece "cd"`},
		"product unknown": {"merges.txt", "a b\nb a\n", `merges.txt:2: merge of "b" and "a": DIR/vocab.json has no piece "ba"`},
		"merge twice":     {"merges.txt", "a b\na b\n", `merges.txt:2: merge of "a" and "b" stands at DIR/merges.txt:1 already`},
		"merges empty":    {"merges.txt", "#version: 0.2\n", "merges.txt: no merges, but 1 pieces of DIR/vocab.json are more than single bytes"},
		"config no JSON":  {"tokenizer_config.json", "{", "tokenizer_config.json:1: unexpected end of JSON input"},
		"config list":     {"tokenizer_config.json", "[]", "tokenizer_config.json:1: json: cannot unmarshal array"},
		"config line":     {"tokenizer_config.json", "{\n \"added_tokens_decoder\": 1}", "tokenizer_config.json:2: json: cannot unmarshal number"},
		"prefix space":    {"tokenizer_config.json", `{"add_prefix_space":true}`, "tokenizer_config.json: add_prefix_space is true, want false"},
		"added key":       {"tokenizer_config.json", added(`"x":{"content":"<x>"}`), `added_tokens_decoder: key "x", want an id from 0`},
		"added negative":  {"tokenizer_config.json", added(`"-1":{"content":"<x>"}`), `added_tokens_decoder: key "-1", want an id from 0`},
		"added huge":      {"tokenizer_config.json", added(`"99999999":{"content":"<x>"}`), `added_tokens_decoder: key "99999999", want an id from 0`},
		"added empty":     {"tokenizer_config.json", added(`"257":{}`), "added_tokens_decoder: token 257 has no content"},
		"added id taken":  {"tokenizer_config.json", added(`"256":{"content":"<x>"}`), `added_tokens_decoder: id 256 is "<x>", but "ab" in DIR/vocab.json`},
		"added other id":  {"tokenizer_config.json", added(`"257":{"content":"ab"}`), `added_tokens_decoder: "ab" is 257, but 256 in DIR/vocab.json`},
		"added twice":     {"tokenizer_config.json", added(`"257":{"content":"<x>"},"258":{"content":"<x>"}`), `added_tokens_decoder: "<x>" is both 257 and 258`},
		"added one id":    {"tokenizer_config.json", added(`"257":{"content":"<x>"},"0257":{"content":"<y>"}`), `added_tokens_decoder: id 257 is both "<x>" and "<y>"`},
		"added strips":    {"tokenizer_config.json", added(`"257":{"content":"<x>","lstrip":true}`), `token 257 "<x>" has lstrip, rstrip or single_word set`},
	} {
		t.Run(name, func(t *testing.T) {
			files := good(t)
			files[tt.file] = tt.data
			dir := write(t, files)
			_, err := text.Load(dir)
			if want := strings.ReplaceAll(tt.want, "DIR", dir); err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("%v\nwant %s", err, want)
			}
			if msg := err.Error(); !strings.HasPrefix(msg, "text: ") || strings.Contains(msg, "\n") || !strings.Contains(msg, dir) {
				t.Errorf("%q: want one line that names the file", msg)
			}
		})
	}
	if _, err := text.Load(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, text.ErrNone) {
		t.Errorf("no folder: %v", err)
	}
}

// TestSingleFile: tokenizer.json is read where there is no vocab.json, and refused where it asks for other steps.
func TestSingleFile(t *testing.T) {
	file := func(change map[string]any) string {
		model := map[string]any{"type": "BPE", "vocab": json.RawMessage(bytePieces(t, map[string]any{"ab": 256})), "merges": []any{"a b"}}
		all := map[string]any{"model": model, "normalizer": map[string]any{"type": "NFC"},
			"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{splitter(qwen2), map[string]any{"type": "ByteLevel"}}},
			"added_tokens":  []any{map[string]any{"id": 257, "content": "<x>"}}}
		for key, v := range change {
			if inner, ok := strings.CutPrefix(key, "model."); ok {
				model[inner] = v
			} else {
				all[key] = v
			}
		}
		data, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for name, change := range map[string]map[string]any{"text": nil, "pair": {"model.merges": []any{[]string{"a", "b"}}}, "cased": {"pre_tokenizer": splitter(cased)}} {
		tok := load(t, write(t, map[string]string{"tokenizer.json": file(change)}))
		if got := tok.Encode("cab<x>"); len(got) != 3 || got[1] != 256 || got[2] != 257 {
			t.Errorf("%s: %v", name, got)
		}
		if want := map[bool]text.Split{true: text.SplitCased}[name == "cased"]; tok.Split() != want {
			t.Errorf("%s: split %v", name, tok.Split())
		}
	}
	for want, change := range map[string]map[string]any{
		`model.type is "Unigram", want BPE`:                              {"model.type": "Unigram"},
		`normalizer.type is "", want NFC`:                                {"normalizer": nil},
		`normalizer.type is "NFKC", want NFC`:                            {"normalizer": map[string]any{"type": "NFKC"}},
		"pre_tokenizer has 0 split patterns, want one":                   {"pre_tokenizer": nil},
		`pre_tokenizer splits by "\\s+", which is neither`:               {"pre_tokenizer": splitter(`\s+`)},
		"model.dropout is set":                                           {"model.dropout": 0.1},
		"model.ignore_merges is set":                                     {"model.ignore_merges": true},
		`merge 1 is "ab", want two pieces`:                               {"model.merges": []any{"a b", "ab"}},
		`merge 0 is ["a"], want two pieces`:                              {"model.merges": []any{[]string{"a"}}},
		`model.merges[0]: merge of "b" and "a"`:                          {"model.merges": []any{"b a"}},
		"tokenizer.json: model.vocab: no pieces":                         {"model.vocab": json.RawMessage("{}")},
		`added_tokens: id 257 is both "<x>" and "<y>"`:                   {"added_tokens": []any{map[string]any{"id": 257, "content": "<x>"}, map[string]any{"id": 257, "content": "<y>"}}},
		`added_tokens: id -1 of "<x>"`:                                   {"added_tokens": []any{map[string]any{"id": -1, "content": "<x>"}}},
		"tokenizer.json:1: json: cannot unmarshal string into Go struct": {"added_tokens": "none"},
	} {
		_, err := text.Load(write(t, map[string]string{"tokenizer.json": file(change)}))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "tokenizer.json") {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

const (
	qwen2 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	cased = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

func splitter(pattern string) map[string]any {
	return map[string]any{"type": "Split", "pattern": map[string]any{"Regex": pattern}}
}
