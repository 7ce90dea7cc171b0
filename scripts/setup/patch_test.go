package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample has one of each kind of operator that the generator of gotch writes.
const sample = `package ts

import(
  "unsafe"
)

func(ts *Tensor) Abs_()(err error) { 
  ptr := (*lib.Ctensor)(unsafe.Pointer(C.malloc(0)))
  ts.ctensor = *ptr
}

func Cat(tensors []*Tensor, dim int64)(retVal *Tensor, err error) { 
  ptr := (*lib.Ctensor)(unsafe.Pointer(C.malloc(0)))
}

func(ts *Tensor) Clip(min *Scalar, max *Scalar, names []string, del bool)(retVal0 *Tensor, retVal1 *Tensor, err error) { 
  ctensorPtr0 := (*lib.Ctensor)(unsafe.Pointer(C.malloc(0)))
}
`

const samplePatched = `package ts

import(
  "runtime"
  "unsafe"
)

func(ts *Tensor) Abs_()(err error) { 
  defer runtime.KeepAlive(ts)

  var cptr lib.Ctensor
  ptr := &cptr
  lib.AtFree(*ptr)
}

func Cat(tensors []*Tensor, dim int64)(retVal *Tensor, err error) { 
  defer runtime.KeepAlive(tensors)

  var cptr lib.Ctensor
  ptr := &cptr
}

func(ts *Tensor) Clip(min *Scalar, max *Scalar, names []string, del bool)(retVal0 *Tensor, retVal1 *Tensor, err error) { 
  defer runtime.KeepAlive(ts)
  defer runtime.KeepAlive(min)
  defer runtime.KeepAlive(max)

  var cptrs [8]lib.Ctensor
  ctensorPtr0 := &cptrs[0]
}
`

func TestPatchGenerated(t *testing.T) {
	out, got, err := patchGenerated([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(samplePatched, string(out)); diff != "" {
		t.Error(diff)
	}
	if want := (counts{functions: 3, slots: 3, inPlace: 1}); got != want {
		t.Errorf("patched %+v, expected %+v", got, want)
	}
}

func TestPatchFailsLoudly(t *testing.T) {
	tests := []struct{ name, file, src, want string }{
		{"an operator is missing", "ts/tensor-generated.go", sample, "ts/tensor-generated.go: patched {functions:3 slots:3 inPlace:1}, expected {functions:2485 slots:2447 inPlace:260}"},
		{"another kind of slot", "ts/tensor-generated.go", sample + "x := C.malloc(0)\n", "ts/tensor-generated.go: 1 uses of C.malloc(0) left, 0 expected"},
		{"other imports", "ts/tensor-generated.go", strings.Replace(sample, "import(", "import (", 1), `ts/tensor-generated.go: "import(" occurs 0 times, 1 expected`},
		{"no big struct", "ts/tensor.go", "package ts\n", `ts/tensor.go: "\tx.d = new(bigStruct)\n" occurs 0 times, 1 expected`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := patchFile(tt.file, []byte(tt.src), nil)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// The copy of gotch is shared by checkouts of all ages under its revision's name. When this fails, raise patchRevision and
// record the new sum.
func TestCopyHasOneContentPerRevision(t *testing.T) {
	const revision, want = "r1", "191df29a57348060"
	src, err := gotchSource(checkoutRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	dst := t.TempDir()
	if err := copyGotch(src, dst, platforms["linux/amd64"].gotchFlags("0")); err != nil {
		t.Fatal(err)
	}
	if got := sumTree(t, dst); got != want || patchRevision != revision {
		t.Errorf("revision %s has the sum %s; recorded are %s and %s", patchRevision, got, revision, want)
	}
}

func sumTree(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s %x\n", filepath.ToSlash(rel), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// checkoutRoot is the folder of the main module.
func checkoutRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}
