package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMissingToolsGetOneLineEach(t *testing.T) {
	real, err := filepath.Abs(lookPath(t, "go"))
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir() // a PATH with Go alone
	if err := os.Symlink(real, filepath.Join(bin, "go")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("CC", "my-cc -m64")
	t.Setenv("CXX", "my-c++")
	t.Setenv("GOFLAGS", "-mod=mod")
	err = checkBuildTools(t.TempDir())
	if err == nil {
		t.Fatal("no error without compilers")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "no C compiler (my-cc -m64): install one") ||
		!strings.HasPrefix(lines[1], "no C++ compiler (my-c++): install one") || !strings.HasPrefix(lines[2], `GOFLAGS="-mod=mod": go refuses`) {
		t.Errorf("got %q", lines)
	}
	if _, err := findPip(); err == nil || !strings.HasPrefix(err.Error(), "pip is missing, and LIBTORCH is not set: install it") {
		t.Errorf("got %v", err)
	}
}

func TestMissingGoGetsOneLine(t *testing.T) {
	cmd := exec.Command("/bin/sh", filepath.Join(checkoutRoot(t), "scripts/setup.sh"))
	cmd.Env = []string{"PATH=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if want := "setup: Go is missing: install Go 1.26 or newer and put it on PATH\n"; err == nil || string(out) != want {
		t.Errorf("got %v, %q; expected an error and %q", err, out, want)
	}
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("%s is not on PATH", name)
	return ""
}

func TestModuleWork(t *testing.T) {
	dir := t.TempDir()
	root := newCheckout(t)
	for theirs, want := range map[string]string{"1.24": "1.26.0", "1.26.0": "1.26.0", "1.26": "1.26.0", "1.9": "1.26.0", "1.27.1": "1.27.1", "1.100": "1.100"} {
		write(t, filepath.Join(dir, "go.mod"), "module example.com/x\n\ngo "+theirs+"\n")
		if err := writeModuleWork(dir, root, "/a b/gotch"); err != nil {
			t.Fatal(err)
		}
		work := "go " + want + "\n\nuse .\n\nreplace (\n\tgithub.com/sugarme/gotch => \"/a b/gotch\"\n\tgithub.com/qakd/qakd => " + root + "\n)\n"
		if got := read(t, filepath.Join(dir, "go.work")); got != work {
			t.Errorf("go %s: got %q, expected %q", theirs, got, work)
		}
	}
	if err := writeModuleWork(t.TempDir(), root, "/gotch"); err == nil || !strings.Contains(err.Error(), "go.mod: no such file") {
		t.Errorf("a folder without go.mod: %v", err)
	}
}

func TestLinkDoesNotReplaceFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".deps")
	write(t, filepath.Join(path, "precious"), "")
	if err := replaceLink("/x", path); err == nil || !strings.Contains(err.Error(), "is a folder, a link expected") {
		t.Errorf("got %v", err)
	}
	read(t, filepath.Join(path, "precious"))
}

func TestCacheDir(t *testing.T) {
	tests := []struct{ xdg, home, want, err string }{
		{"/c", "/h", "/c/qakd", ""},
		{"", "/h", "/h/.cache/qakd", ""},
		{"c", "/h", "", `XDG_CACHE_HOME="c": an absolute path expected`},
		{"", "", "", "neither XDG_CACHE_HOME nor HOME is set: there is no place for libtorch"},
	}
	for _, tt := range tests {
		got, err := cacheDir(func(k string) string { return map[string]string{"XDG_CACHE_HOME": tt.xdg, "HOME": tt.home}[k] })
		if got != tt.want || tt.err == "" && err != nil || tt.err != "" && (err == nil || err.Error() != tt.err) {
			t.Errorf("XDG_CACHE_HOME=%q HOME=%q: got %q, %v", tt.xdg, tt.home, got, err)
		}
	}
}

func TestUnknownPlatformAndCUDA(t *testing.T) {
	if _, err := platformOf("plan9", "386"); err == nil || !strings.HasPrefix(err.Error(), "plan9/386 is not supported") {
		t.Errorf("got %v", err)
	}
	if _, err := parseCUDA("yes"); err == nil || err.Error() != `CUDA="yes": 0 or 1 expected` {
		t.Errorf("got %v", err)
	}
	s := newSession(t)
	s.platform, s.cuda = platforms["darwin/arm64"], true
	if err := s.run(); err == nil || !strings.Contains(err.Error(), "no CUDA") {
		t.Errorf("CUDA=1 on macOS: got %v", err)
	}
}
