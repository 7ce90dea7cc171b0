package ckpt

import (
	"encoding/json"
	"fmt"
)

// EntryBytes is what a tensor takes in a file of at most size bytes: its content and its entry of the header, with offsets of as
// many digits as any there can have. So the sum over the tensors of a file, plus FileSize of none, plus 8 bytes of padding is
// never below FileSize, and above by a few digits for each tensor. Data are not looked at.
func EntryBytes(t Tensor, size int64) (int64, error) {
	n, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return 0, fmt.Errorf("ckpt: tensor %q: %w", t.Name, err)
	}
	entry, err := t.entry(size, size)
	if err != nil {
		return 0, fmt.Errorf("ckpt: tensor %q: %w", t.Name, err)
	}
	return n + int64(len(entry)+len(",")), nil
}

// entry is the tensor's in the header, with its offsets.
func (t Tensor) entry(from, to int64) ([]byte, error) {
	name, err := json.Marshal(t.Name)
	if err != nil {
		return nil, err
	}
	shape, err := json.Marshal(append([]int64{}, t.Shape...)) // [] and not null for a scalar
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, t.DType, shape, from, to), nil
}
