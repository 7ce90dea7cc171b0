package fsx_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/fsx"
)

// TestCopyTree: links become files, dot names and what is skipped stay behind, and the list is what was copied.
func TestCopyTree(t *testing.T) {
	src, dst := t.TempDir(), filepath.Join(t.TempDir(), "to")
	for name, text := range map[string]string{"a": "1", "sub/b": "2", "sub/deep/c": "3", "sub/skipped": "4", ".hidden": "5", "out/d": "6"} {
		path := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(src, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dst, 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := fsx.CopyTree(dst, src, func(rel string, folder bool) bool { return rel == "sub/skipped" || rel == "out" && folder })
	if err != nil || !slices.Equal(got, []string{"a", "link", "sub/b", "sub/deep/c"}) {
		t.Fatalf("copied %q, %v", got, err)
	}
	for name, want := range map[string]string{"a": "1", "link": "1", "sub/b": "2", "sub/deep/c": "3"} {
		if text, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v, want %q", name, text, err, want)
		}
	}
	for _, name := range []string{".hidden", "sub/skipped", "out"} {
		if _, err := os.Stat(filepath.Join(dst, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was copied", name)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(src, "broken")); err != nil {
		t.Fatal(err)
	}
	if _, err := fsx.CopyTree(dst, src, func(string, bool) bool { return false }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nothing gives %v", err)
	}
}
