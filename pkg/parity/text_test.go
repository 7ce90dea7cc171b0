package parity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The text tokenizer of every fixture has the reference's ids; each kind of difference is seen by the check that it is for.
func TestText(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-bf16", "tiny-sharded"} {
		f := &fixtureFiles{t, fixtures + fixture}
		if got := f.check(); got != "vocab_size ids ids_local_dir_split decoded prompts.assistant prompts.instruct prompts.reference" {
			t.Errorf("%s: %s", fixture, got)
		}
	}
	for name, tt := range map[string]struct{ file, from, to, want string }{
		"ids":       {"golden/tokenizer.json", `"text": "Hello, world!"`, `"text": "Hello, word!"`, "FAIL ids: ids of"},
		"split":     {"golden/tokenizer.json", "\"ids_local_dir_split\": [\n        39,", "\"ids_local_dir_split\": [\n        40,", "FAIL ids_local_dir_split: ids of"},
		"prompt":    {"golden/tokenizer.json", "A calm voice.", "A calm noise.", "FAIL prompts.reference: ids of"},
		"no prompt": {"golden/tokenizer.json", `"instruct": {`, `"construct": {`, "FAIL prompts.construct: no such prompt"},
		"decoded":   {"golden/tokenizer.json", `"decoded": "`, `"decoded": "x`, "FAIL decoded: text of"},
		"merges":    {"checkpoint/merges.txt", "\ns is\n", "\n", "FAIL ids: ids of"},
		"count":     {"golden/tokenizer.json", `"added": 33`, `"added": 34`, "FAIL vocab_size: 420 pieces and 33 added tokens, want 420 and 34"},
		"broken":    {"checkpoint/vocab.json", "{", "[", "FAIL load: text: "},
	} {
		f := &fixtureFiles{t, t.TempDir()}
		if err := os.CopyFS(f.dir, os.DirFS(fixtures+"tiny-f32")); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(f.dir, tt.file)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		after := strings.ReplaceAll(string(before), tt.from, tt.to)
		if after == string(before) {
			t.Fatalf("%s: %s has no %q", name, tt.file, tt.from)
		}
		if err := os.WriteFile(path, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := f.check(); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	empty := fixture{dir: t.TempDir()}
	if checks, there, err := empty.checkText(); there || err != nil || checks != nil {
		t.Errorf("without goldens: %v %v %v", checks, there, err)
	}
}

// fixtureFiles is a folder of which only the text is looked at.
type fixtureFiles struct {
	t   *testing.T
	dir string
}

// check lists the checks, those that fail with the reason.
func (f *fixtureFiles) check() string {
	checks, there, err := (&fixture{dir: f.dir}).checkText()
	if err != nil || !there {
		f.t.Fatalf("%v %v", there, err)
	}
	var out []string
	for _, c := range checks {
		if c.Pass {
			out = append(out, c.Name)
		} else {
			out = append(out, "FAIL "+c.Name+": "+c.Problem)
		}
	}
	return strings.Join(out, " ")
}
