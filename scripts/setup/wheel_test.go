package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakePip stands for python3 -m pip: it serves wheels from a folder and notes what it was asked for.
// A request fails as long as there is a file fail-REQUEST.
const fakePip = `#!/bin/sh
set -e
case "$*" in *--version) exit 0 ;; esac
for req; do :; done
while [ "$1" != -d ]; do shift; done
echo "$req" >>"$FAKE_PIP/asked"
name=$(echo "${req%%==*}" | tr - _)
cp "$FAKE_PIP/$name"-*.whl "$2/"
if [ -e "$FAKE_PIP/fail-$name" ]; then
	for w in "$2"/*.whl; do mv "$w" "$w.part"; done
	echo "WARNING: trying again" >&2
	echo "ERROR: the connection broke" >&2
	exit 1
fi
`

// servePip puts a fake pip with fake wheels first on PATH and returns its folder.
func servePip(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bin/python3"), fakePip)
	if err := os.Chmod(filepath.Join(dir, "bin/python3"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("FAKE_PIP", dir)
	writeWheel(t, filepath.Join(dir, "nvidia_cuda_cupti_cu12-12.1.105-py3-none-manylinux1_x86_64.whl"), map[string]string{
		"nvidia/cuda_cupti/lib/libcupti.so.12": "cupti", "nvidia/cuda_cupti/lib/libnvperf_host.so": "unwanted",
	})
	writeWheel(t, filepath.Join(dir, "nvidia_cuda_runtime_cu12-12.1.105-py3-none-manylinux1_x86_64.whl"), map[string]string{
		"nvidia/cuda_runtime/lib/libcudart.so.12": "cudart", "nvidia/cuda_runtime/include/cuda.h": "unwanted",
	})
	writeWheel(t, filepath.Join(dir, "torch-2.1.0-cp311-cp311-manylinux1_x86_64.whl"), map[string]string{
		"torch/lib/libtorch_cpu.so": "torch", "torch/lib/libc10.so": string(c10Library(t, "0")), "torch/lib/libgomp-a34b3233.so.1": "gomp",
		"torch/lib/libtorch_cuda.so": "unwanted", "torch/lib/libnvfuser_codegen.so": "unwanted", "torch/nn/linear.py": "unwanted",
		"torch/include/ATen/core/Tensor.h": "", "torch/" + versionHeader: versionH,
	})
	return dir
}

func writeWheel(t *testing.T, path string, members map[string]string) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range members {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, b.String())
}

// newSession is a set-up of an empty checkout with an empty cache, on Linux x86-64, that compiles nothing.
func newSession(t *testing.T) *session {
	t.Helper()
	root := newCheckout(t)
	return &session{
		root: root, cache: filepath.Join(t.TempDir(), "qakd"), platform: platforms["linux/amd64"], log: new(bytes.Buffer),
		free:  func(string) (uint64, error) { return 100 * gib, nil },
		build: func(string, io.Writer) error { return nil },
	}
}

func newCheckout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range []string{"go.mod", "go.sum"} {
		write(t, filepath.Join(root, f), read(t, filepath.Join(checkoutRoot(t), f)))
	}
	write(t, filepath.Join(root, "internal/shim/shim.go"), "package shim\n")
	return root
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var allAsked = []string{"nvidia-cuda-cupti-cu12==12.1.105", "nvidia-cuda-runtime-cu12==12.1.105", "torch==2.1.0"}

func asked(t *testing.T, pip string) []string {
	return strings.Fields(read(t, filepath.Join(pip, "asked")))
}

func TestWheelsAreUnpacked(t *testing.T) {
	pip := servePip(t)
	s := newSession(t)
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(allAsked, asked(t, pip)); diff != "" {
		t.Errorf("pip was asked for (-want +got):\n%s", diff)
	}
	deps := filepath.Join(s.cache, "torch-2.1.0-cpu")
	for name, want := range map[string]string{
		"torch/lib/libtorch_cpu.so": "torch", "torch/lib/libgomp.so.1": "gomp", "torch/include/ATen/core/Tensor.h": "",
		"nvidia/cuda_cupti/lib/libcupti.so.12": "cupti", "nvidia/cuda_runtime/lib/libcudart.so.12": "cudart",
		"setup.json": "{\n  \"torch\": \"2.1.0\",\n  \"cxx_abi\": \"0\",\n  \"source\": \"wheel\",\n  \"cuda\": false\n}\n",
	} {
		if got := read(t, filepath.Join(deps, name)); got != want {
			t.Errorf("%s holds %q, expected %q", name, got, want)
		}
	}
	for _, name := range []string{"torch/lib/libtorch_cuda.so", "torch/lib/libnvfuser_codegen.so", "torch/nn", "nvidia/cuda_runtime/include", "../downloads"} {
		if _, err := os.Stat(filepath.Join(deps, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there (%v), expected it not to be", name, err)
		}
	}
	gotch := filepath.Join(deps, "gotch-v0.9.1-"+patchRevision)
	if got, want := read(t, filepath.Join(s.root, "go.work")), "go 1.26.0\n\nuse .\n\nreplace github.com/sugarme/gotch => "+gotch+"\n"; got != want {
		t.Errorf("go.work is %q, expected %q", got, want)
	}
	second := *s
	second.root = newCheckout(t)
	for _, again := range []*session{s, &second} {
		if err := again.run(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(asked(t, pip)); got != 3 {
		t.Errorf("a second run or a second checkout fetched again: %d requests", got)
	}
}

func TestCUDAAddsItsWheels(t *testing.T) {
	w := platforms["linux/amd64"].wheels(true)
	if len(w) != 13 || w[len(w)-1].req != "torch==2.1.0" {
		t.Fatalf("got %d wheels, the last %s; expected 13, torch last", len(w), w[len(w)-1].req)
	}
	keep := w[len(w)-1].keep
	for name, want := range map[string]bool{
		"torch/lib/libtorch_cuda.so": true, "torch/lib/libtorch_cuda_linalg.so": true, "torch/lib/libc10_cuda.so": true, "torch/lib/libcaffe2_nvrtc.so": true,
		"torch/lib/libtorch_cpu.so": true, "torch/lib/libnvfuser_codegen.so": false, "torch/lib/libtorch_python.so": false,
	} {
		if got := hasAnyPrefix(name, keep); got != want {
			t.Errorf("%s kept: %v, expected %v", name, got, want)
		}
	}
	if n := len(platforms["linux/amd64"].wheels(false)[2].keep); n != 4 {
		t.Errorf("the CPU's list has %d entries after asking for CUDA, expected 4", n)
	}
}

func TestInterruptedRunResumes(t *testing.T) {
	pip := servePip(t)
	s := newSession(t)
	write(t, filepath.Join(s.cache, "torch-2.1.0-cpu.part/torch/lib/left-over"), "by a run that died")
	write(t, filepath.Join(pip, "fail-torch"), "")
	want := "pip could not fetch torch==2.1.0 (exit status 1): ERROR: the connection broke"
	if err := s.run(); err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	if _, err := os.Lstat(filepath.Join(s.root, ".deps")); err == nil {
		t.Error("a failed run left .deps")
	}
	remove(t, filepath.Join(pip, "fail-torch"))
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(allAsked, "torch==2.1.0"), asked(t, pip)); diff != "" {
		t.Errorf("pip was asked for (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(s.root, ".deps/torch/lib/left-over")); err == nil {
		t.Error("what the dead run left is in the result")
	}
}

func TestDamagedWheelIsFetchedAgain(t *testing.T) {
	pip := servePip(t)
	s := newSession(t)
	name := "torch-2.1.0-cp311-cp311-manylinux1_x86_64.whl"
	whole := read(t, filepath.Join(pip, name))
	write(t, filepath.Join(s.cache, "downloads", name), whole[:len(whole)/2])
	want := name + ": zip: not a valid zip file; removed it, run set-up again"
	if err := s.run(); err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

func TestTwoSetupsAtOnce(t *testing.T) {
	pip := servePip(t)
	a := newSession(t)
	b := *a
	b.root, b.log = newCheckout(t), new(bytes.Buffer)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, s := range []*session{a, &b} {
		wg.Go(func() { errs[i] = s.run() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := len(asked(t, pip)); got != 3 {
		t.Errorf("pip was asked %d times, 3 expected", got)
	}
	for _, root := range []string{a.root, b.root} {
		read(t, filepath.Join(root, ".deps/torch/lib/libc10.so"))
	}
}

func TestNoRoom(t *testing.T) {
	servePip(t)
	s := newSession(t)
	s.free = func(string) (uint64, error) { return gib + gib/2, nil }
	want := s.cache + " has 1.5 GB free, unpacking needs 3 GB: free some, or set XDG_CACHE_HOME to a bigger disk"
	if err := s.run(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestMembersStayInTheFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.whl")
	writeWheel(t, file, map[string]string{"torch/include/../../../x": ""})
	err := unpack(file, t.TempDir(), []string{"torch/include/"})
	if err == nil || !strings.Contains(err.Error(), "leaves the folder") && !errors.Is(err, zip.ErrInsecurePath) {
		t.Errorf("got %v", err)
	}
}
