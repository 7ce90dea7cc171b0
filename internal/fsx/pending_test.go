package fsx_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/qakd/qakd/internal/fsx"
)

func TestPendingAppearsAtCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := fsx.WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	content := func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, commit := range []bool{false, true} {
		p, err := fsx.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []string{"??", "two", "three"} {
			if _, err := p.Write([]byte(piece)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.WriteAt([]byte("ok"), 0); err != nil {
			t.Fatal(err)
		}
		if got := content(); got != "old" {
			t.Fatalf("before the commit: %q", got)
		}
		want := "old"
		if commit {
			if err := p.Commit(); err != nil {
				t.Fatal(err)
			}
			want = "oktwothree"
		}
		p.Abort()
		p.Abort()
		if got := content(); got != want || names(t, dir) != "f" {
			t.Errorf("commit %v: %q, folder %q", commit, got, names(t, dir))
		}
		_, err = p.Write(nil)
		if !errors.Is(err, fs.ErrClosed) || !errors.Is(p.Commit(), fs.ErrClosed) {
			t.Errorf("use after the end: %v", err)
		}
	}
}

func TestPendingErrorsNameTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "f")
	if _, err := fsx.Create(path); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "create "+path+": ") {
		t.Errorf("no folder: %v", err)
	}
	path = filepath.Join(t.TempDir(), "f")
	p, err := fsx.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil { // a folder gets in the way meanwhile
		t.Fatal(err)
	}
	if err := p.Commit(); err == nil || !strings.HasPrefix(err.Error(), "replace "+path+": ") {
		t.Errorf("a folder at the path: %v", err)
	}
	if left := names(t, filepath.Dir(path)); strings.Contains(left, "tmp-") {
		t.Errorf("left behind: %s", left)
	}
}

// What is no file stays what it is, and the error comes before there is anything to write.
func TestPendingOfNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	for path, want := range map[string]string{dir: "it is a folder", pipe: "it is a device or a pipe"} {
		if _, err := fsx.Create(path); err == nil || !strings.Contains(err.Error(), "create "+path+": "+want+", want the path of a file") {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
	if names(t, dir) != "pipe" {
		t.Errorf("the folder has %q, want the pipe alone", names(t, dir))
	}
}
