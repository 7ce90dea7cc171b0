package text_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/pkg/text"
)

const (
	small = "testdata/small"
	tiny  = "../talker/testdata"
)

func load(t testing.TB, dir string) *text.Tokenizer {
	t.Helper()
	tok, err := text.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// published is the vocabulary of the published checkpoints.
func published(t testing.TB) *text.Tokenizer {
	t.Helper()
	dir := filepath.Join("testdata", "qwen3")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("%s is not there; make vocab fetches it", dir)
	}
	return load(t, dir)
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
