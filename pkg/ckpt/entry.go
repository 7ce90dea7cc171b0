package ckpt

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// EntryBytes is what a tensor takes in a file of at most size bytes: its content and its entry of the header, with offsets of as
// many digits as any there can have. So the sum over the tensors of a file, plus FileSize of none, plus 8 bytes of padding is
// never below FileSize, and above by a few digits for each tensor. Data are not looked at.
func EntryBytes(t Tensor, size int64) (int64, error) {
	n, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return 0, fmt.Errorf("ckpt: tensor %q: %w", t.Name, err)
	}
	name, err := json.Marshal(t.Name)
	if err != nil {
		return 0, fmt.Errorf("ckpt: tensor %q: %w", t.Name, err)
	}
	shape, err := json.Marshal(append([]int64{}, t.Shape...))
	if err != nil {
		return 0, fmt.Errorf("ckpt: tensor %q: %w", t.Name, err)
	}
	const frame = `,:{"dtype":"","shape":,"data_offsets":[,]}`
	return n + int64(len(frame)+len(name)+len(t.DType)+len(shape)+2*len(strconv.FormatInt(size, 10))), nil
}
