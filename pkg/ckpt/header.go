package ckpt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxHeader is the reference implementation's limit. It keeps a corrupt length
// from turning into a huge allocation.
const maxHeader = 100 << 20

// entry is one tensor of one file; begin and end are relative to the data.
type entry struct {
	Info
	begin, end int64
}

// fileHeader is the parsed head of one safetensors file.
type fileHeader struct {
	entries  []entry // ascending by begin
	metadata map[string]string
	data     int64 // offset of the first data byte in the file
	size     int64 // bytes of the whole file
}

// readHeader reads and checks the header of a file of the given size. It reads
// the header bytes only.
func readHeader(r io.ReaderAt, size int64) (*fileHeader, error) {
	var head [8]byte
	if size < 8 {
		return nil, fmt.Errorf("truncated: %d bytes, a safetensors file has at least 8", size)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(head[:])
	switch {
	case bytes.Equal(head[:], []byte("version ")):
		return nil, fmt.Errorf("a git-lfs pointer, not the weights (run git lfs pull)")
	case n > maxHeader:
		return nil, fmt.Errorf("not a safetensors file: header length %d is over the limit of %d", n, int64(maxHeader))
	case int64(n) > size-8:
		return nil, fmt.Errorf("truncated: the header takes %d bytes, the file has %d after its length", n, size-8)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil && err != io.EOF {
		return nil, err
	}
	h, err := parseHeader(text, size-8-int64(n))
	if err != nil {
		return nil, err
	}
	h.data, h.size = 8+int64(n), size
	return h, nil
}

// parseHeader decodes the JSON of a header whose file holds dataLen bytes of
// tensor data, and checks that the tensors tile that data exactly.
func parseHeader(text []byte, dataLen int64) (*fileHeader, error) {
	if h := plainHeader(text); h != nil {
		return h, h.checkTiling(dataLen)
	}
	h, err := strictHeader(text)
	if err != nil {
		return nil, err
	}
	return h, h.checkTiling(dataLen)
}

// strictHeader decodes any JSON that is a header, and says what is wrong with any other.
func strictHeader(text []byte) (*fileHeader, error) {
	h := &fileHeader{metadata: map[string]string{}}
	err := document(text, "header", func(dec *json.Decoder, key string) error {
		if key != "__metadata__" {
			e, err := parseEntry(dec, key)
			h.entries = append(h.entries, e)
			return err
		}
		return object(dec, "header: __metadata__", func(k string) (err error) {
			h.metadata[k], err = stringValue(dec, fmt.Sprintf("header: __metadata__ %q", k))
			return err
		})
	})
	return h, err
}

func parseEntry(dec *json.Decoder, name string) (entry, error) {
	e := entry{Info: Info{Name: name}}
	what := fmt.Sprintf("tensor %q", name)
	if name == "" {
		return e, fmt.Errorf("header: a tensor has an empty name")
	}
	var offsets []int64
	err := object(dec, what, func(key string) (err error) {
		switch key {
		case "dtype":
			e.DType, err = stringValue(dec, what+": dtype")
		case "shape":
			e.Shape, err = intArray(dec, what+": shape")
		case "data_offsets":
			offsets, err = intArray(dec, what+": data_offsets")
		default:
			err = fmt.Errorf("%s: unknown key %q", what, key)
		}
		return err
	})
	switch {
	case err != nil:
		return e, err
	case e.DType == "" || e.Shape == nil || offsets == nil:
		return e, fmt.Errorf("%s: dtype, shape and data_offsets are required", what)
	case len(offsets) != 2:
		return e, fmt.Errorf("%s: data_offsets %v, want [begin, end]", what, offsets)
	}
	e.begin, e.end = offsets[0], offsets[1]
	if err := e.measure(); err != nil {
		return e, fmt.Errorf("%s: %w", what, err)
	}
	return e, nil
}

// measure sets Bytes and holds the offsets against it.
func (e *entry) measure() (err error) {
	if e.Bytes, err = byteSize(e.DType, e.Shape); err != nil {
		return err
	}
	if e.end < e.begin || e.end-e.begin != e.Bytes {
		return fmt.Errorf("data_offsets [%d %d], but %s %v takes %d bytes", e.begin, e.end, e.DType, e.Shape, e.Bytes)
	}
	return nil
}

// checkTiling sorts the entries by offset and wants them to cover the data
// from 0 to dataLen without hole, overlap or rest.
func (h *fileHeader) checkTiling(dataLen int64) error {
	slices.SortFunc(h.entries, func(a, b entry) int {
		if a.begin != b.begin {
			return cmpInt(a.begin, b.begin)
		}
		if a.end != b.end {
			return cmpInt(a.end, b.end)
		}
		return strings.Compare(a.Name, b.Name)
	})
	at := int64(0)
	for i, e := range h.entries {
		if e.begin < at {
			return fmt.Errorf("tensors %q and %q overlap (bytes %d to %d)",
				h.entries[i-1].Name, e.Name, e.begin, min(at, e.end))
		}
		if e.begin > at {
			return fmt.Errorf("hole of %d bytes before tensor %q", e.begin-at, e.Name)
		}
		at = e.end
	}
	switch {
	case at > dataLen:
		return fmt.Errorf("truncated: the tensors take %d bytes, the file holds %d", at, dataLen)
	case at < dataLen:
		return fmt.Errorf("%d bytes after the last tensor", dataLen-at)
	}
	return nil
}

func cmpInt(a, b int64) int {
	if a < b {
		return -1
	}
	return 1
}

// headerOf reads the header of the file at path; errors name the file.
func headerOf(path string) (*fileHeader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h, err := readHeader(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}
