package sugarme_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/qakd/qakd/internal/testkit/fixedseed"
	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/normalizer"
	"pgregory.net/rapid"

	"github.com/qakd/qakd/pkg/text"
	"github.com/qakd/qakd/pkg/text/sugarme"
)

const (
	small = "../testdata/small"
	tiny  = "../../talker/testdata/tiny-f32"
)

func load(t *testing.T, dir string) (*text.Tokenizer, *tokenizer.Tokenizer) {
	t.Helper()
	tok, err := text.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok, sugarme.New(tok)
}

func encode(t interface{ Fatalf(string, ...any) }, tk *tokenizer.Tokenizer, s string) *tokenizer.Encoding {
	en, err := tk.EncodeSingle(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return en
}

func ids(en *tokenizer.Encoding) []int32 {
	out := []int32{}
	for _, id := range en.Ids {
		out = append(out, int32(id))
	}
	return out
}

type golden struct {
	Cases []struct {
		Text string  `json:"text"`
		IDs  []int32 `json:"ids"`
	} `json:"cases"`
	Prompts map[string]struct {
		Template string  `json:"template"`
		Text     string  `json:"text"`
		IDs      []int32 `json:"ids"`
	} `json:"prompts"`
}

func read(t *testing.T, path string) (g golden) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err != nil || len(g.Cases) == 0 {
		t.Fatalf("%s: %d cases, %v", path, len(g.Cases), err)
	}
	return g
}

// TestGoldens: the module's tokenizer with our parts has the ids of the reference, added tokens included.
func TestGoldens(t *testing.T) {
	for dir, path := range map[string]string{small: "../testdata/small_cases.json",
		filepath.Join(tiny, "checkpoint"): filepath.Join(tiny, "golden", "tokenizer.json")} {
		_, tk := load(t, dir)
		g := read(t, path)
		for _, c := range g.Cases {
			if got := ids(encode(t, tk, c.Text)); !slices.Equal(got, c.IDs) {
				t.Errorf("%s: %q:\n got %v\nwant %v", dir, c.Text, got, c.IDs)
			}
		}
		for name, p := range g.Prompts { // several added tokens, not in the order of their ids
			if got := ids(encode(t, tk, strings.Replace(p.Template, "{text}", p.Text, 1))); !slices.Equal(got, p.IDs) {
				t.Errorf("prompt %s:\n got %v\nwant %v", name, got, p.IDs)
			}
		}
	}
}

// TestWithoutNormalizer: the pre-tokenizer normalizes by itself.
func TestWithoutNormalizer(t *testing.T) {
	tok, _ := load(t, small)
	tk := tokenizer.NewTokenizer(sugarme.Model{Tokenizer: tok})
	tk.WithPreTokenizer(sugarme.PreTokenizer{Tokenizer: tok})
	for _, c := range read(t, "../testdata/small_cases.json").Cases {
		if got := ids(encode(t, tk, c.Text)); !slices.Equal(got, c.IDs) {
			t.Errorf("%q:\n got %v\nwant %v", c.Text, got, c.IDs)
		}
	}
}

// TestAnyText: ids as from our own tokenizer, pieces of the ids, and offsets that lie in the text and go forwards.
func TestAnyText(t *testing.T) {
	tok, tk := load(t, filepath.Join(tiny, "checkpoint"))
	part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"<|im_start|>", "<|im_end|>", "\n", "  ", "e\u0301", "가", "can't",
		"\u0338", "日本", strings.Repeat("\u0301", 40), "\u212b", "<|im_end|>\u0338"}))
	rapid.Check(t, func(t *rapid.T) {
		s := strings.ToValidUTF8(strings.Join(rapid.SliceOfN(part, 0, 6).Draw(t, "parts"), ""), "?")
		en := encode(t, tk, s)
		if want := tok.Encode(s); !slices.Equal(ids(en), want) {
			t.Fatalf("%q:\n got %v\nwant %v", s, en.Ids, want)
		}
		start := 0
		for i, o := range en.Offsets {
			if o[0] < start || o[1] < o[0] || o[1] > len(s) {
				t.Fatalf("%q: offsets %v", s, en.Offsets)
			}
			if start = o[0]; en.Tokens[i] != tok.Piece(int32(en.Ids[i])) {
				t.Fatalf("%q: token %d is %q", s, i, en.Tokens[i])
			}
		}
		if got := tk.Decode(en.Ids, false); got != tok.Decode(ids(en)) {
			t.Fatalf("decoded %q, want %q", got, tok.Decode(ids(en)))
		}
	})
}

// TestOffsets: bytes of the original, also where normalization made the text shorter.
func TestOffsets(t *testing.T) {
	_, tk := load(t, small)
	s := "e\u0301 <|im_end|>!"
	en := encode(t, tk, s)
	last := en.Offsets[len(en.Offsets)-1]
	if got := s[last[0]:last[1]]; got != "!" {
		t.Errorf("last token is %q of the text", got)
	}
	end := en.Offsets[len(en.Offsets)-2]
	if got := s[end[0]:end[1]]; got != "<|im_end|>" {
		t.Errorf("the one before is %q", got)
	}
}

// TestNormalizer: what one sees is what gets encoded, with added tokens as they are.
func TestNormalizer(t *testing.T) {
	tok, tk := load(t, small)
	s := "cafe\u0301<|im_end|>\u0338 \u212b"
	got, err := tk.GetNormalizer().Normalize(normalizer.NewNormalizedFrom(s))
	if err != nil || got.GetNormalized() != "café<|im_end|>\u0338 Å" || got.GetOriginal() != s {
		t.Errorf("%q of %q, %v", got.GetNormalized(), got.GetOriginal(), err)
	}
	if _, err := (sugarme.Normalizer{Tokenizer: tok}).Normalize(normalizer.NewNormalizedFrom("a\xff")); err == nil {
		t.Error("bytes that are no UTF-8 pass")
	}
	pre := sugarme.PreTokenizer{Tokenizer: tok}
	if _, err := pre.PreTokenize(tokenizer.NewPreTokenizedString("a\xff")); err == nil || err.Error() != "sugarme: the text is no UTF-8" {
		t.Errorf("%v", err)
	}
}

// TestVocabulary: both directions, the whole map, and files that load again.
func TestVocabulary(t *testing.T) {
	tok, tk := load(t, small)
	m := tk.GetModel()
	vocab := tk.GetVocab(true)
	if len(vocab) != 703 || m.GetVocabSize() != 703 || vocab["<|im_end|>"] != 702 {
		t.Errorf("%d entries of %d", len(vocab), m.GetVocabSize())
	}
	for piece, id := range vocab {
		if got, ok := m.TokenToId(piece); !ok || got != id {
			t.Errorf("%q is %d, want %d", piece, got, id)
		}
		if got, ok := m.IdToToken(id); !ok || got != piece {
			t.Errorf("%d is %q, want %q", id, got, piece)
		}
	}
	for _, id := range []int{-1, 703, 1 << 40} {
		if _, ok := m.IdToToken(id); ok {
			t.Errorf("there is an id %d", id)
		}
	}
	if _, ok := m.TokenToId("no such piece"); ok {
		t.Error("there is any piece")
	}
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(dir, "my"); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(small, "tokenizer_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	again, _ := load(t, dir)
	for _, c := range read(t, "../testdata/small_cases.json").Cases[:50] {
		if !slices.Equal(again.Encode(c.Text), tok.Encode(c.Text)) {
			t.Errorf("%q has other ids after saving", c.Text)
		}
	}
	for _, name := range []string{"my-vocab.json", "my-merges.txt"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if err := m.Save(filepath.Join(dir, "missing")); err == nil {
		t.Error("saved to a folder that is not there")
	}
}
