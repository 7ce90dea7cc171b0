package gguf

import (
	"fmt"
	"io"

	"github.com/qakd/qakd/internal/fsx"
)

const (
	magic     = "GGUF"
	version   = 3
	alignment = 32
	maxDims   = 4
	maxName   = 63 // ggml keeps names in 64 bytes, the last of them 0
)

// Tensor is a tensor to write. Exactly one of Data and Stream is set.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int64 // outermost first
	Data  []byte
	// Stream writes the content. It is called once, in the order of the file.
	Stream func(w io.Writer) error
}

// Write replaces the file at path by one with these pairs and tensors, in the order given, atomically.
func Write(path string, pairs []Pair, tensors []Tensor) error {
	head, sizes, err := encode(pairs, tensors)
	if err != nil {
		return fmt.Errorf("gguf: write %s: %w", path, err)
	}
	err = fsx.Write(path, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		for i, t := range tensors {
			if err := t.write(w, sizes[i]); err != nil {
				return fmt.Errorf("tensor %q: %w", t.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	return nil
}

func encode(pairs []Pair, tensors []Tensor) (head []byte, sizes []int64, err error) {
	e := &encoder{b: []byte(magic)}
	e.u32(version)
	e.u64(uint64(len(tensors)))
	e.u64(uint64(len(pairs)))
	seen := map[string]bool{}
	for _, p := range pairs {
		switch {
		case p.Key == "" || seen[p.Key]:
			return nil, nil, fmt.Errorf("key %q is empty or there twice", p.Key)
		case p.Key == AlignmentKey:
			return nil, nil, fmt.Errorf("key %q: files are written with the alignment %d", p.Key, alignment)
		}
		seen[p.Key] = true
		e.text(p.Key)
		if err := e.value(p.Key, p.Value); err != nil {
			return nil, nil, err
		}
	}
	clear(seen)
	at := int64(0)
	for _, t := range tensors {
		if t.Name == "" || len(t.Name) > maxName || seen[t.Name] {
			return nil, nil, fmt.Errorf("tensor name %q is empty, longer than %d bytes, or there twice", t.Name, maxName)
		}
		seen[t.Name] = true
		n, err := t.Type.Size(t.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if (t.Data == nil) == (t.Stream == nil) || t.Stream == nil && int64(len(t.Data)) != n {
			return nil, nil, fmt.Errorf("tensor %q: %d bytes of data, but %v %v takes %d", t.Name, len(t.Data), t.Type, t.Shape, n)
		}
		e.text(t.Name)
		e.u32(uint32(len(t.Shape)))
		for i := len(t.Shape) - 1; i >= 0; i-- {
			e.u64(uint64(t.Shape[i]))
		}
		e.u32(uint32(t.Type))
		e.u64(uint64(at))
		at, sizes = at+padded(n), append(sizes, n)
	}
	for len(e.b)%alignment != 0 {
		e.b = append(e.b, 0)
	}
	return e.b, sizes, nil
}

func padded(n int64) int64 { return (n + alignment - 1) / alignment * alignment }

// write writes the data of exactly size bytes and the padding after it.
func (t Tensor) write(w io.Writer, size int64) error {
	stream := t.Stream
	if stream == nil {
		stream = func(w io.Writer) error {
			_, err := w.Write(t.Data)
			return err
		}
	}
	n, err := fsx.Count(w, stream)
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("stream wrote %d bytes, but %v %v takes %d", n, t.Type, t.Shape, size)
	}
	_, err = w.Write(make([]byte, padded(size)-size))
	return err
}
