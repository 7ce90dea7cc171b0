package text_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/qakd/qakd/pkg/text"
)

// FuzzFiles: files of any content are loaded or refused with one line that names the folder. What is loaded encodes.
func FuzzFiles(f *testing.F) {
	g := good(f)
	f.Add([]byte(g["vocab.json"]), []byte(g["merges.txt"]), []byte(g["tokenizer_config.json"]))
	f.Add([]byte(`{"a":0,"a":1}`), []byte("a b\r\n"), []byte(`{"added_tokens_decoder":{"0":{"content":"a"}}}`))
	f.Add([]byte(`{"a":1e3}`), []byte(" "), []byte(`null`))
	f.Add([]byte{}, []byte("\xff\xfe"), []byte("{\"added_tokens_decoder\":{\"4194303\":{\"content\":\"\xff\"}}}"))
	f.Fuzz(func(t *testing.T, vocab, merges, config []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": config} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		tok, err := text.Load(dir)
		if err != nil {
			if msg := err.Error(); !strings.HasPrefix(msg, "text: "+dir) || strings.Contains(msg, "\n") {
				t.Errorf("%q", msg)
			}
			return
		}
		if s := "The cab <x> can't\n"; tok.Decode(tok.Encode(s)) != s {
			t.Errorf("%q becomes %q", s, tok.Decode(tok.Encode(s)))
		}
	})
}

// FuzzSingleFile: the same for tokenizer.json.
func FuzzSingleFile(f *testing.F) {
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0},"merges":["a a"]},"added_tokens":[{"id":1,"content":"<x>"}]}`))
	f.Add([]byte(`{"model":{"merges":[1,null,["a"],{}]},"pre_tokenizer":{"pretokenizers":[{"pretokenizers":[]}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if tok, err := text.Load(write(t, map[string]string{"tokenizer.json": string(data) + " "})); err == nil {
			tok.Encode("The cab <x> can't\n")
		}
	})
}

const joiner = "\u034f"

// FuzzEncode: every text comes back, in normalization form C if it is UTF-8, with both splits.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "Hello, world!", "e\u0301 e\u0301\u0327", "\xff\xfe a\x80", "<|im_start|>user\n <|im_end|", "\r\n \t\n  x", "I'Ll 'ſ",
		strings.Repeat("\u0327", 40), "iPhone/OpenAI//中A\u0301b", strings.Repeat("a", 200)} {
		f.Add(s)
	}
	tok := load(f, small)
	f.Fuzz(func(t *testing.T, s string) {
		for _, split := range []text.Split{text.SplitQwen2, text.SplitCased} {
			ids := tok.WithSplit(split).Encode(s)
			for _, id := range ids {
				if tok.Piece(id) == "" {
					t.Fatalf("%q: id %d has no piece", s, id)
				}
			}
			got := tok.Decode(ids)
			if !slices.ContainsFunc(ids, tok.IsAdded) && norm.NFC.IsNormalString(s) && got != s {
				t.Errorf("%q becomes %q", s, got)
			}
			long := strings.Count(norm.NFD.String(s), joiner) != strings.Count(s, joiner) // package norm breaks up long runs of marks
			if utf8.ValidString(s) && !long && norm.NFD.String(got) != norm.NFD.String(s) {
				t.Errorf("%q becomes %q, another text", s, got)
			}
			if utf8.ValidString(s) != utf8.ValidString(got) {
				t.Errorf("%q becomes %q: UTF-8 %v", s, got, utf8.ValidString(got))
			}
		}
	})
}
