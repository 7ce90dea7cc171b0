package ckpt

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever the limit, the folder holds the same tensors, in files that respect it.
func TestWriteShards(t *testing.T) {
	var tensors []Tensor
	for i, name := range []string{"c", "a", "b", "d"} {
		tensors = append(tensors, Tensor{Name: name, DType: "U8", Shape: []int64{10}, Data: []byte(strings.Repeat(string(rune('0'+i)), 10))})
	}
	meta := func(ts []Tensor) map[string]string { return map[string]string{ts[0].Name: "first"} }
	for limit, files := range map[int64]int{1: 4, 19: 4, 20: 2, 35: 2, 40: 1, 1 << 40: 1} {
		dir := t.TempDir()
		if err := WriteShards(dir, tensors, limit, meta); err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.Header().Files); got != files {
			t.Errorf("limit %d: %d files, want %d", limit, got, files)
		}
		for _, want := range tensors {
			if _, data, err := r.Bytes(want.Name); err != nil || !slices.Equal(data, want.Data) {
				t.Errorf("limit %d: %s is %q, %v", limit, want.Name, data, err)
			}
		}
		if got := r.Metadata()["c"]; got != "first" {
			t.Errorf("limit %d: metadata %v", limit, r.Metadata())
		}
		r.Close()
	}
	if err := WriteShards(t.TempDir(), tensors, 0, nil); err == nil || !strings.Contains(err.Error(), "want at least 1") {
		t.Error(err)
	}
	twice := append(tensors, tensors[0])
	if err := WriteShards(t.TempDir(), twice, 10, nil); err == nil || !strings.Contains(err.Error(), `two tensors are named "c"`) {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := WriteShards(dir, nil, 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, singleName)); err != nil {
		t.Error(err)
	}
}
