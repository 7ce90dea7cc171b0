package fsx_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/qakd/qakd/internal/fsx"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, 0, len(entries))
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestWriteReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := fsx.WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	err := fsx.Write(path, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 3<<20)); err != nil {
			return err
		}
		return syscall.ENOSPC
	})
	if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "write "+path+": disk full (") {
		t.Errorf("error %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" || names(t, dir) != "f" {
		t.Errorf("after a failed write: %q, folder %q", got, names(t, dir))
	}
	if err := fsx.WriteBytes(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "new" || st.Mode().Perm() != 0o600 {
		t.Errorf("got %q with mode %v", got, st.Mode())
	}
	if err := fsx.WriteBytes(filepath.Join(dir, "no", "f"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent folder: %v", err)
	}
}

// TestExplain: the temporary name is left out, another file's name is kept.
func TestExplain(t *testing.T) {
	for _, tt := range []struct{ inner, want string }{
		{"a/.f.tmp-123", "write a/f: input/output error"},
		{"a/f", "write a/f: input/output error"},
		{"b/source", "write a/f: read b/source: input/output error"},
	} {
		err := fsx.Explain("write", "a/f", &os.PathError{Op: "read", Path: tt.inner, Err: syscall.EIO})
		if err.Error() != tt.want || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v, want %s", tt.inner, err, tt.want)
		}
	}
}

func TestPublishDir(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "out")
	fill := func(text string) func(string) error {
		return func(tmp string) error {
			if err := os.Mkdir(filepath.Join(tmp, "sub"), 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(tmp, "sub", "f"), []byte(text), 0o644)
		}
	}
	broken := func(tmp string) error { return errors.Join(fill("half")(tmp), io.ErrUnexpectedEOF) }
	check := func(want string) {
		t.Helper()
		got, _ := os.ReadFile(filepath.Join(dir, "sub", "f"))
		if string(got) != want {
			t.Errorf("content %q, want %q", got, want)
		}
	}
	if err := fsx.PublishDir(dir, broken); !errors.Is(err, io.ErrUnexpectedEOF) || names(t, filepath.Dir(dir)) != "" {
		t.Errorf("broken: %v, left %q", err, names(t, filepath.Dir(dir)))
	}
	if err := fsx.PublishDir(dir, fill("one")); err != nil {
		t.Fatal(err)
	}
	check("one")
	if err := fsx.PublishDir(dir, fill("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("existing: %v", err)
	}
	check("one")
	if err := fsx.ReplaceDir(dir, broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("broken: %v", err)
	}
	check("one")
	if err := fsx.ReplaceDir(dir, fill("three")); err != nil {
		t.Fatal(err)
	}
	check("three")
	if got := names(t, filepath.Dir(dir)); got != "out" {
		t.Errorf("left behind: %q", got)
	}
	if n, err := fsx.DirSize(parent); err != nil || n != 5 {
		t.Errorf("DirSize %d, %v; want 5", n, err)
	}
	linked := t.TempDir()
	if err := os.Symlink(parent, filepath.Join(linked, "folder")); err != nil {
		t.Fatal(err)
	}
	if n, err := fsx.DirSize(linked); err != nil || n != 5 {
		t.Errorf("DirSize through a link %d, %v; want 5", n, err)
	}
}

func TestClaim(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	first, err := fsx.Claim(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsx.Claim(dir, true); !errors.Is(err, fsx.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second claim: %v", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "student"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		resume   bool
		products []string
		occupied bool
	}{
		{false, nil, true},
		{false, []string{"student"}, true},
		{false, []string{"packed", "summary.json"}, false},
		{true, nil, false},
		{true, []string{"student"}, false},
	}
	for _, tt := range tests {
		l, err := fsx.Claim(dir, tt.resume, tt.products...)
		if errors.Is(err, fsx.ErrOccupied) != tt.occupied || (err == nil) == tt.occupied {
			t.Errorf("resume %v, products %v: %v", tt.resume, tt.products, err)
		}
		if err == nil {
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestLockEndsWithProcess kills the owner of a folder; the next claim succeeds.
func TestLockEndsWithProcess(t *testing.T) {
	if dir := os.Getenv("FSX_CLAIM"); dir != "" {
		if _, err := fsx.Claim(dir, false); err != nil {
			t.Fatal(err)
		}
		fmt.Println("claimed")
		select {}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=TestLockEndsWithProcess$")
	cmd.Env = append(os.Environ(), "FSX_CLAIM="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "claimed\n" {
		t.Fatalf("child: %q, %v", line, err)
	}
	if _, err := fsx.Claim(dir, true); !errors.Is(err, fsx.ErrLocked) {
		t.Errorf("while the owner lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // reports the kill; only the end matters
	l, err := fsx.Claim(dir, true)
	if err != nil {
		t.Fatalf("after the owner died: %v", err)
	}
	l.Release()
}

func TestSHA256(t *testing.T) {
	path := filepath.Join(t.TempDir(), "abc")
	if err := os.WriteFile(path, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	// FIPS 180-2, appendix B.1
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got, err := fsx.SHA256(path); err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := fsx.SHA256(path + ".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
