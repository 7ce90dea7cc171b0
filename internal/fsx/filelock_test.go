package fsx_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/qakd/qakd/internal/fsx"
)

// TestLockFile: a second one waits for the first, says so once, and gives up with its context.
func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "locks", "a.lock")
	first, err := fsx.LockFile(t.Context(), path, func() { t.Error("waits for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := fsx.LockFile(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled wait: %v", err)
	}
	said := 0
	second, err := fsx.LockFile(t.Context(), path, func() {
		said++
		if err := first.Release(); err != nil {
			t.Error(err)
		}
	})
	if err != nil || said != 1 {
		t.Fatalf("error %v, said %d times that it waits, want once", err, said)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
	if _, err := fsx.LockFile(t.Context(), filepath.Join(path, "below a file"), nil); err == nil {
		t.Error("a folder that cannot be made is no error")
	}
}

func TestMove(t *testing.T) {
	dir := t.TempDir()
	tmp, path := filepath.Join(dir, "f.incomplete"), filepath.Join(dir, "f")
	for _, content := range []string{"one", "two"} {
		if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := fsx.Move(tmp, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content || names(t, dir) != "f" {
			t.Errorf("content %q, %v, folder %q", got, err, names(t, dir))
		}
	}
	if err := fsx.Move(tmp, path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "two" {
		t.Errorf("after a failure: %q", got)
	}
}
