package ckpt_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
)

// TestCopyAt: any part of a tensor can be copied, nothing beyond it, and a file that was cut meanwhile is an error.
func TestCopyAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	err := ckpt.Write(path, []ckpt.Tensor{
		{Name: "a", DType: "U8", Shape: []int64{4}, Data: []byte{1, 2, 3, 4}},
		{Name: "b", DType: "U8", Shape: []int64{3}, Data: []byte{5, 6, 7}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tests := []struct {
		name string
		n    int
		off  int64
		want string // the bytes, or a part of the error
	}{
		{"a", 4, 0, "\x01\x02\x03\x04"}, {"a", 2, 1, "\x02\x03"}, {"b", 1, 2, "\x07"}, {"b", 0, 3, ""},
		{"a", 5, 0, `tensor "a" has 4 bytes, want 5 from byte 0 on`}, {"a", 1, 4, "want 1 from byte 4 on"},
		{"a", 1, -1, "from byte -1 on"}, {"c", 1, 0, `no tensor "c"`},
	}
	for _, tt := range tests {
		dst := make([]byte, tt.n)
		err := r.CopyAt(dst, tt.name, tt.off)
		if err == nil && string(dst) != tt.want || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %d bytes from %d: % x, %v, want %q", tt.name, tt.n, tt.off, dst, err, tt.want)
		}
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, st.Size()-1); err != nil {
		t.Fatal(err)
	}
	if err := r.CopyAt(make([]byte, 3), "b", 0); err == nil || !strings.Contains(err.Error(), path+`: tensor "b": the file has become shorter`) {
		t.Errorf("a file that was cut gives %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.CopyAt(make([]byte, 1), "a", 0); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
}
