package ckpt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/qakd/qakd/internal/fsx"
)

// Tensor is one tensor to write: its data as bytes, or a function that streams
// them. Exactly one of Data and Stream is set; an empty tensor needs neither.
type Tensor struct {
	Name  string  // full key; "__metadata__" is reserved
	DType string  // safetensors name, see Info
	Shape []int64 // row-major; empty for a scalar
	// Data is the row-major little-endian content.
	Data []byte
	// Stream writes the content. It is called once, in the order of the file,
	// so that a large tensor need not exist as a second copy.
	Stream func(w io.Writer) error
}

// Write replaces the file at path by one with these tensors, atomically: an
// error, a full disk or a crash leaves the old file whole.
//
// The bytes depend on the arguments only. Tensors are ordered by element size,
// largest first, then by name, and the header is padded to a multiple of 8:
// each tensor starts at a multiple of its element size, as readers that use
// the mapped bytes in place want it, and the format's ban on holes is kept.
func Write(path string, tensors []Tensor, meta map[string]string) error {
	order, err := arrange(tensors)
	if err != nil {
		return fmt.Errorf("ckpt: write %s: %w", path, err)
	}
	head, err := encodeHeader(order, meta)
	if err != nil {
		return fmt.Errorf("ckpt: write %s: %w", path, err)
	}
	err = fsx.Write(path, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		for _, t := range order {
			if err := t.writeData(w); err != nil {
				return fmt.Errorf("tensor %q: %w", t.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ckpt: %w", err)
	}
	return nil
}

// FileSize is the size in bytes of the file that Write would make. No data is streamed; tensors that stream may leave
// Stream nil.
func FileSize(tensors []Tensor, meta map[string]string) (int64, error) {
	described := slices.Clone(tensors)
	for i := range described {
		described[i].Data, described[i].Stream = nil, noStream
	}
	order, err := arrange(described)
	if err != nil {
		return 0, fmt.Errorf("ckpt: %w", err)
	}
	head, err := encodeHeader(order, meta)
	if err != nil {
		return 0, fmt.Errorf("ckpt: %w", err)
	}
	size := int64(len(head))
	for _, t := range order {
		size += t.bytes
	}
	return size, nil
}

func noStream(io.Writer) error { return nil }

// sized is a tensor with its checked size in bytes.
type sized struct {
	Tensor
	elem, bytes int64
}

// arrange checks the tensors and returns them in the order of the file.
func arrange(tensors []Tensor) ([]sized, error) {
	order := make([]sized, 0, len(tensors))
	seen := map[string]bool{}
	for _, t := range tensors {
		if t.Name == "" || t.Name == "__metadata__" || !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("tensor name %q is not allowed", t.Name)
		}
		if seen[t.Name] {
			return nil, fmt.Errorf("two tensors are named %q", t.Name)
		}
		seen[t.Name] = true
		n, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		switch {
		case t.Data != nil && t.Stream != nil:
			return nil, fmt.Errorf("tensor %q has both Data and Stream", t.Name)
		case t.Stream == nil && int64(len(t.Data)) != n:
			return nil, fmt.Errorf("tensor %q: %d bytes of data, but %s %v takes %d", t.Name, len(t.Data), t.DType, t.Shape, n)
		}
		order = append(order, sized{t, dtypeSizes[t.DType], n})
	}
	slices.SortFunc(order, func(a, b sized) int {
		if a.elem != b.elem {
			return cmpInt(b.elem, a.elem)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return order, nil
}

// encodeHeader returns the length word and the padded JSON.
func encodeHeader(order []sized, meta map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	if len(meta) > 0 {
		m, err := json.Marshal(meta) // sorts the keys
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `"__metadata__":%s`, m)
	}
	at := int64(0)
	for i, t := range order {
		if i > 0 || len(meta) > 0 {
			b.WriteByte(',')
		}
		entry, err := t.entry(at, at+t.bytes)
		if err != nil {
			return nil, err
		}
		b.Write(entry)
		at += t.bytes
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	n := b.Len() - 8
	if n > maxHeader {
		return nil, fmt.Errorf("header of %d bytes is over the format's limit of %d", n, int64(maxHeader))
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(n))
	return b.Bytes(), nil
}

// writeData writes the tensor and wants exactly its size in bytes: a stream
// that is short or long would shift every tensor after it.
func (t sized) writeData(w io.Writer) error {
	if t.Stream == nil {
		_, err := w.Write(t.Data)
		return err
	}
	n, err := fsx.Count(w, t.Stream)
	if err != nil {
		return err
	}
	if n != t.bytes {
		return fmt.Errorf("stream wrote %d bytes, but %s %v takes %d", n, t.DType, t.Shape, t.bytes)
	}
	return nil
}
