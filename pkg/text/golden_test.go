package text_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"github.com/qakd/qakd/pkg/text"
)

// cases are texts with the ids of the reference implementation.
type cases struct {
	Special map[string]int32 `json:"special"`
	Cases   []struct {
		Text  string  `json:"text"`
		IDs   []int32 `json:"ids"`
		Cased []int32 `json:"ids_local_dir_split"`
		Text2 *string `json:"decoded"`
	} `json:"cases"`
	Prompts map[string]struct {
		Text string  `json:"text"`
		IDs  []int32 `json:"ids"`
	} `json:"prompts"`
}

func check(t *testing.T, tok *text.Tokenizer, path string, atLeast int) {
	t.Helper()
	var golden cases
	readJSON(t, path, &golden)
	if len(golden.Cases) < atLeast {
		t.Fatalf("%s has %d cases, want %d", path, len(golden.Cases), atLeast)
	}
	for content, want := range golden.Special {
		if id, ok := tok.ID(content); !ok || id != want || !tok.IsAdded(id) || tok.Piece(id) != content {
			t.Errorf("%s is %d, want %d", content, id, want)
		}
	}
	cased := tok.WithSplit(text.SplitCased)
	for _, c := range golden.Cases {
		if got := tok.Encode(c.Text); !slices.Equal(got, c.IDs) {
			t.Errorf("%q:\n got %v %s\nwant %v %s", c.Text, got, spelled(tok, got), c.IDs, spelled(tok, c.IDs))
		}
		if got := cased.Encode(c.Text); c.Cased != nil && !slices.Equal(got, c.Cased) {
			t.Errorf("%q, cased:\n got %v %s\nwant %v %s", c.Text, got, spelled(tok, got), c.Cased, spelled(tok, c.Cased))
		}
		want := norm.NFC.String(c.Text)
		if c.Text2 != nil {
			want = *c.Text2
		}
		if got := tok.Decode(c.IDs); got != want {
			t.Errorf("decoded %q, want %q", got, want)
		}
	}
}

func spelled(tok *text.Tokenizer, ids []int32) string {
	var out []string
	for _, id := range ids {
		out = append(out, tok.Piece(id))
	}
	return fmt.Sprintf("%q", out)
}

func TestSmallVocabulary(t *testing.T) {
	check(t, load(t, small), "testdata/small_cases.json", 1391)
}

func TestPublishedVocabulary(t *testing.T) {
	tok := published(t)
	if tok.Size() < 151669 || tok.Size() > 151676 {
		t.Errorf("%d ids", tok.Size())
	}
	check(t, tok, "testdata/qwen3_cases.json", 58)
}

// TestCheckpoints: the tiny checkpoints, with merges.txt with and without a version in its first line.
func TestCheckpoints(t *testing.T) {
	for _, name := range []string{"tiny-f32", "tiny-bf16", "tiny-sharded"} {
		t.Run(name, func(t *testing.T) {
			tok := load(t, filepath.Join(tiny, name, "checkpoint"))
			path := filepath.Join(tiny, name, "golden", "tokenizer.json")
			check(t, tok, path, 25)
			if tok.Size() != 453 {
				t.Errorf("%d ids", tok.Size())
			}
			var golden cases
			readJSON(t, path, &golden)
			for _, p := range []struct {
				name       string
				build      func(string) ([]int32, error)
				head, tail int
			}{{"assistant", tok.Body, 3, 5}, {"reference", tok.Reference, 3, 2}, {"instruct", tok.Instruct, 0, 0}} {
				want := golden.Prompts[p.name]
				got, err := p.build(want.Text)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want.IDs[p.head:len(want.IDs)-p.tail], got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", p.name, diff)
				}
			}
		})
	}
}

// TestPromptErrors: texts that nobody means, and vocabularies that the format does not fit.
func TestPromptErrors(t *testing.T) {
	tok := load(t, filepath.Join(tiny, "tiny-f32", "checkpoint"))
	for _, tt := range []struct{ text, want string }{
		{"", "text: the text is empty"},
		{" \n\t\u3000", `text: the text " \n\t\u3000" is only white space`},
		{"caf\xe9 au lait", "text: the text has byte 0xE9 at 3, which is no UTF-8"},
	} {
		if _, err := tok.Body(tt.text); err == nil || err.Error() != tt.want {
			t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
		}
		want := strings.Replace(tt.want, "the text", "the reference text", 1)
		if _, err := tok.Reference(tt.text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", tt.text, err, want)
		}
		want = strings.Replace(tt.want, "the text", "the instruction", 1)
		if _, err := tok.Instruct(tt.text); tt.text != "" && (err == nil || err.Error() != want) {
			t.Errorf("%q: %v, want %s", tt.text, err, want)
		}
	}
	if ids, err := tok.Instruct(""); err != nil || ids != nil {
		t.Errorf("no instruction: %v %v", ids, err)
	}
	if ids, err := tok.Body("\uFFFD ok"); err != nil || len(ids) == 0 { // a replacement character is UTF-8
		t.Errorf("%v %v", ids, err)
	}
	other := load(t, small) // "assistant" is several tokens there
	if _, err := other.Body("Hello"); err == nil || !strings.Contains(err.Error(), `testdata/small: "<|im_start|>assistant\n" is 10 tokens, want 3`) {
		t.Errorf("%v", err)
	}
}
