package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// c10Library compiles a library with the function of libc10 that the ABI is read from.
func c10Library(t *testing.T, abi string) []byte {
	t.Helper()
	dir := t.TempDir()
	src, lib := filepath.Join(dir, "c10.cpp"), filepath.Join(dir, "libc10.so")
	code := `#include <string>
namespace c10 { namespace detail { void torchCheckFail(const char*, const char*, unsigned, const std::string&) {} } }`
	write(t, src, code)
	cmd := exec.Command("g++", "-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI="+abi, "-o", lib, src)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no library to look at: %v: %s", err, out) // g++ is not the compiler of every platform
	}
	data, err := os.ReadFile(lib)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const versionH = "#define TORCH_VERSION \\\n  \"2.1.0\"\n"

// fakeLibtorch is the least that counts as a libtorch folder.
func fakeLibtorch(t *testing.T, c10 []byte) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "lib/libtorch_cpu.so"), "torch")
	write(t, filepath.Join(dir, "lib/libc10.so"), string(c10))
	write(t, filepath.Join(dir, "lib/libgomp-52f2fd74.so.1"), "gomp")
	write(t, filepath.Join(dir, "lib/libnvfuser_codegen.so"), "nvfuser")
	write(t, filepath.Join(dir, "include/ATen/core/Tensor.h"), "")
	write(t, filepath.Join(dir, versionHeader), versionH)
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestInspectReadsTheABI(t *testing.T) {
	for _, abi := range []string{"0", "1"} {
		got, err := platforms["linux/amd64"].inspect(fakeLibtorch(t, c10Library(t, abi)))
		if err != nil || got != abi {
			t.Errorf("library of ABI %s: got %q, %v", abi, got, err)
		}
	}
}

func TestInspectRefuses(t *testing.T) {
	c10 := c10Library(t, "1")
	tests := []struct {
		name  string
		spoil func(dir string)
		want  string
	}{
		{"another version in build-version", func(dir string) { write(t, filepath.Join(dir, "build-version"), "2.2.1+cpu\n") },
			"libtorch 2.2.1 found, gotch v0.9.1 needs exactly 2.1.0"},
		{"another version in the header", func(dir string) {
			write(t, filepath.Join(dir, versionHeader), "#define TORCH_VERSION \\\n  \"2.0.1\"\n")
		}, "libtorch 2.0.1 found, gotch v0.9.1 needs exactly 2.1.0"},
		{"no version", func(dir string) { write(t, filepath.Join(dir, versionHeader), "\n") },
			"include/torch/csrc/api/include/torch/version.h does not say TORCH_VERSION"},
		{"no library", func(dir string) { remove(t, filepath.Join(dir, "lib/libtorch_cpu.so")) },
			"no lib/libtorch_cpu.so there: a libtorch 2.1.0 folder with lib and include expected"},
		{"not a library", func(dir string) {
			write(t, filepath.Join(dir, "lib/libc10.so"), "GROUP ( libc10.so.2 ) # a linker script")
		}, "lib/libc10.so: bad magic number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := fakeLibtorch(t, c10)
			tt.spoil(dir)
			_, err := platforms["linux/amd64"].inspect(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant one line with %s", err, tt.want)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestBuildVersionWins(t *testing.T) {
	dir := fakeLibtorch(t, nil)
	write(t, filepath.Join(dir, "build-version"), "2.1.0+cpu\n")
	write(t, filepath.Join(dir, versionHeader), "\n")
	if v, err := libtorchVersion(dir); err != nil || v != "2.1.0" {
		t.Errorf("got %q, %v", v, err)
	}
}

// A checkout that was set up with an existing install keeps it, and says so when it is gone.
func TestExistingInstallIsKept(t *testing.T) {
	lib := fakeLibtorch(t, c10Library(t, "1"))
	s := newSession(t)
	s.libtorch = lib
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	flags := read(t, filepath.Join(s.root, "internal/shim/cgo_flags.go"))
	if !strings.Contains(flags, "-D_GLIBCXX_USE_CXX11_ABI=1") {
		t.Errorf("the shim's flags do not have the ABI:\n%s", flags)
	}
	deps := filepath.Join(s.root, ".deps")
	if got := read(t, filepath.Join(deps, "gotch-v0.9.1-"+patchRevision, "libtch/lib.go")); !strings.Contains(got, "-D_GLIBCXX_USE_CXX11_ABI=1") {
		t.Errorf("gotch's flags do not have the ABI:\n%s", got)
	}
	if got := read(t, filepath.Join(deps, "torch/lib/libgomp.so.1")); got != "gomp" {
		t.Errorf("libgomp.so.1 holds %q", got)
	}
	if _, err := os.Lstat(filepath.Join(deps, "torch/lib/libnvfuser_codegen.so")); err == nil {
		t.Error("libnvfuser_codegen.so is linked: libtorch would load CUDA by itself")
	}
	again := *s
	again.libtorch, again.log = "", new(bytes.Buffer)
	if err := again.run(); err != nil {
		t.Fatal(err)
	}
	if got := again.log.(*bytes.Buffer).String(); !strings.Contains(got, "from "+lib) {
		t.Errorf("the second run says %q, expected %s to be kept", got, lib)
	}
	remove(t, filepath.Join(lib, "lib/libtorch_cpu.so"))
	want := "LIBTORCH=" + lib + ", which this checkout was set up with, is gone: set LIBTORCH again, or remove .deps to use the wheel"
	if err := again.run(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestLibtorchExcludesCUDA(t *testing.T) {
	s := newSession(t)
	s.libtorch, s.cuda = "/somewhere", true
	if err := s.run(); err == nil || !strings.HasPrefix(err.Error(), "LIBTORCH and CUDA=1 together") {
		t.Errorf("got %v", err)
	}
}
