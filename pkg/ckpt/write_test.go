package ckpt_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
)

// sample covers every element size, a scalar and an empty tensor.
func sample() []ckpt.Tensor {
	fill := func(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }
	return []ckpt.Tensor{
		{Name: "z.u8", DType: "U8", Shape: []int64{3}, Data: []byte{1, 2, 3}},
		{Name: "a.f32", DType: "F32", Shape: []int64{2, 2}, Data: fill(16, 4)},
		{Name: "a.bool", DType: "BOOL", Shape: []int64{5}, Data: fill(5, 1)},
		{Name: "b.f64", DType: "F64", Shape: nil, Data: fill(8, 5)},
		{Name: "b.i64", DType: "I64", Shape: []int64{1}, Data: fill(8, 6)},
		{Name: "c.bf16", DType: "BF16", Shape: []int64{3}, Data: fill(6, 7)},
		{Name: "c.f16", DType: "F16", Shape: []int64{1, 3}, Data: fill(6, 8)},
		{Name: "d.i32", DType: "I32", Shape: []int64{2}, Data: fill(8, 9)},
		{Name: "d.i16", DType: "I16", Shape: []int64{1}, Data: fill(2, 10)},
		{Name: "d.i8", DType: "I8", Shape: []int64{1}, Data: fill(1, 11)},
		{Name: "empty", DType: "F32", Shape: []int64{0, 7}},
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	meta := map[string]string{"scheme": `{"bits": 4}`, "text": "größer, 大 \"quoted\"\n"}
	if err := ckpt.Write(path, sample(), meta); err != nil {
		t.Fatal(err)
	}
	r, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.Metadata(); len(got) != 2 || got["scheme"] != meta["scheme"] || got["text"] != meta["text"] {
		t.Errorf("metadata %q, want %q", got, meta)
	}
	infos := r.Infos()
	if len(infos) != len(sample()) {
		t.Fatalf("%d tensors, want %d", len(infos), len(sample()))
	}
	for i := 1; i < len(infos); i++ {
		if infos[i-1].Name >= infos[i].Name {
			t.Errorf("Infos not sorted: %q before %q", infos[i-1].Name, infos[i].Name)
		}
	}
	for _, want := range sample() {
		info, data, err := r.Bytes(want.Name)
		if err != nil {
			t.Fatal(err)
		}
		if info.DType != want.DType || len(info.Shape) != len(want.Shape) || !bytes.Equal(data, want.Data) {
			t.Errorf("%s: got %v % x, want %s %v % x", want.Name, info, data, want.DType, want.Shape, want.Data)
		}
	}
	if _, _, err := r.Bytes("nope"); err == nil || !strings.Contains(err.Error(), `no tensor "nope"`) {
		t.Errorf("unknown tensor: %v", err)
	}
}

// TestWriteIsDeterministic: the bytes depend on the content, not on the order
// of the arguments or of a map, and every tensor is aligned to its element.
func TestWriteIsDeterministic(t *testing.T) {
	dir := t.TempDir()
	meta := map[string]string{"a": "1", "b": "2", "c": "3"}
	tensors := sample()
	reversed := make([]ckpt.Tensor, 0, len(tensors))
	for i := range tensors {
		reversed = append(reversed, tensors[len(tensors)-1-i])
	}
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	if err := errors.Join(ckpt.Write(one, tensors, meta), ckpt.Write(two, reversed, meta)); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(one)
	b, _ := os.ReadFile(two)
	if !bytes.Equal(a, b) {
		t.Error("the order of the arguments changes the file")
	}
	if end := bytes.LastIndexByte(a[:bytes.IndexByte(a, 5)], '}'); end < 0 || bytes.IndexByte(a, 5)%8 != 0 {
		t.Errorf("first 8-byte tensor at %d, want a multiple of 8", bytes.IndexByte(a, 5))
	}
}

// TestPythonFile reads a file of the reference implementation and writes the
// same tensors back; the digests come from an independent parser.
func TestPythonFile(t *testing.T) {
	r, err := ckpt.Open("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, want := range map[string]string{
		"codes":        "9f54fc6f851bdae8",
		"hidden":       "d851179114cd40d3",
		"loss_aligned": "0e3d37f9cd2bd437",
	} {
		_, data, err := r.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:8]); got != want {
			t.Errorf("%s: sha256 %s, want %s", name, got, want)
		}
	}
	copied := filepath.Join(t.TempDir(), "copy.safetensors")
	var tensors []ckpt.Tensor
	for _, i := range r.Infos() {
		_, data, err := r.Bytes(i.Name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, ckpt.Tensor{Name: i.Name, DType: i.DType, Shape: i.Shape, Data: data})
	}
	if err := ckpt.Write(copied, tensors, r.Metadata()); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile("testdata/python.safetensors")
	b, _ := os.ReadFile(copied)
	if !bytes.Equal(a, b) {
		t.Error("the copy differs from what the reference implementation wrote")
	}
}

func TestWriteErrors(t *testing.T) {
	data := []byte{1, 2, 3, 4}
	stream := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(make([]byte, n)); return err }
	}
	tests := []struct {
		name    string
		tensors []ckpt.Tensor
		want    string
	}{
		{"duplicate", []ckpt.Tensor{{Name: "a", DType: "U8", Shape: []int64{4}, Data: data}, {Name: "a", DType: "U8", Shape: []int64{4}, Data: data}}, `two tensors are named "a"`},
		{"reserved", []ckpt.Tensor{{Name: "__metadata__", DType: "U8", Shape: []int64{4}, Data: data}}, "not allowed"},
		{"not UTF-8", []ckpt.Tensor{{Name: "a\xff", DType: "U8", Shape: []int64{4}, Data: data}}, "not allowed"},
		{"dtype", []ckpt.Tensor{{Name: "a", DType: "float32", Shape: []int64{1}, Data: data}}, `unknown dtype "float32" (known: BF16`},
		{"size", []ckpt.Tensor{{Name: "a", DType: "F32", Shape: []int64{2}, Data: data}}, "4 bytes of data, but F32 [2] takes 8"},
		{"both", []ckpt.Tensor{{Name: "a", DType: "F32", Shape: []int64{1}, Data: data, Stream: stream(4)}}, "both Data and Stream"},
		{"negative", []ckpt.Tensor{{Name: "a", DType: "F32", Shape: []int64{-1}, Data: data}}, "negative dimension"},
		{"overflow", []ckpt.Tensor{{Name: "a", DType: "F32", Shape: []int64{1 << 40, 1 << 40}, Stream: stream(4)}}, "overflows 63 bits"},
		{"short stream", []ckpt.Tensor{{Name: "a", DType: "F32", Shape: []int64{2}, Stream: stream(4)}}, "stream wrote 4 bytes, but F32 [2] takes 8"},
		{"long stream", []ckpt.Tensor{{Name: "a", DType: "F32", Shape: []int64{2}, Stream: stream(12)}}, "stream wrote 12 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "m.safetensors")
			err := ckpt.Write(path, tt.tensors, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want %q and the path", err, tt.want)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestFailedWriteKeepsOldFile: a disk that fills up in the middle of a tensor
// leaves the old checkpoint as it was, no temporary file, and a clear error.
func TestFailedWriteKeepsOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	if err := ckpt.Write(path, sample(), nil); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	err := ckpt.Write(path, []ckpt.Tensor{{Name: "big", DType: "U8", Shape: []int64{8 << 20}, Stream: func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 4<<20)); err != nil {
			return err
		}
		return &os.PathError{Op: "write", Path: "tmp", Err: syscall.ENOSPC}
	}}}, nil)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "disk full") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want disk full with the path", err)
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) {
		t.Error("the old file changed")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
