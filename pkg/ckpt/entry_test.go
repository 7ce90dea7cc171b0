package ckpt_test

import (
	"fmt"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
)

// What the tensors of a file take, one by one, is what the file takes, up to the digits of offsets.
func TestEntryBytes(t *testing.T) {
	var tensors []ckpt.Tensor
	for i := range 40 {
		tensors = append(tensors,
			ckpt.Tensor{Name: fmt.Sprintf("layer.%d.\"quoted\"", i), DType: "BF16", Shape: []int64{int64(i), 300}},
			ckpt.Tensor{Name: fmt.Sprintf("scalar.%d", i), DType: "I64"})
	}
	size, err := ckpt.FileSize(tensors, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, e := range tensors {
		n, err := ckpt.EntryBytes(e, size)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	none, err := ckpt.FileSize(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum += none + 8
	if digits := int64(len(fmt.Sprint(size))); sum < size || sum > size+2*digits*int64(len(tensors)) {
		t.Errorf("one by one %d, the file %d", sum, size)
	}
	if _, err := ckpt.EntryBytes(ckpt.Tensor{Name: "a", DType: "X"}, 1); err == nil {
		t.Error("no error for an unknown dtype")
	}
}
