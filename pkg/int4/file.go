package int4

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/qakd/qakd/pkg/quant"
)

// FileName is the name of the interleaved file in a checkpoint's folder.
const FileName = "model.int4"

// The interleaved file holds every matrix of a packed checkpoint that the kernels can compute with, in the layout of the
// package comment, to be mapped and used as it lies. Numbers are little-endian:
//
//	0    8 bytes   "qakdint4"
//	8    uint32    format, 2
//	12   uint32    length of the index
//	16   uint64    length of the file
//	24   32 bytes  SHA-256 of the index
//	56   32 bytes  stamp of the checkpoint; see Cached
//	128            the index, JSON: fileIndex
//
// and then the strips of each matrix, from a multiple of 4096 on, in the order of the index, with zeros between.
const (
	fileMagic  = "qakdint4"
	fileFormat = 2
	stampAt    = 56
	indexAt    = 128
	fileAlign  = 4096
	maxIndex   = 64 << 20
)

type fileIndex struct {
	Layers []Layer `json:"layers"`
	Others []Other `json:"others,omitempty"`
}

// Layer is one matrix of an interleaved file.
type Layer struct {
	Path       string                 `json:"path"` // of the projection
	Rows       int64                  `json:"rows"`
	Cols       int64                  `json:"cols"`
	Weight     quant.WeightScheme     `json:"weight"`
	Activation quant.ActivationScheme `json:"activation"`
	InputScale float32                `json:"input_scale,omitempty"` // static activations only
	Offset     int64                  `json:"offset"`                // of the strips in the file
	Bytes      int64                  `json:"bytes"`
	SHA256     string                 `json:"sha256"` // of the strips
	Source     string                 `json:"source"` // SHA-256 of the checkpoint's tensors that they were made of
}

// Other is a quantized layer of the checkpoint that this package's kernels cannot compute with.
type Other struct {
	Path   string `json:"path"`
	Why    string `json:"why"`
	Source string `json:"source"`
}

// errInvalid is what the error for a file that is cut, damaged or of another format wraps.
var errInvalid = errors.New("no interleaved file that can be used")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errInvalid, fmt.Sprintf(format, args...))
}

// header is the beginning of a file as it is read.
type header struct {
	index fileIndex
	stamp [sha256.Size]byte
}

// readHeader reads and checks all of a file of that size but the strips.
func readHeader(r io.ReaderAt, size int64) (*header, error) {
	head := make([]byte, indexAt)
	if size < indexAt {
		return nil, invalid("%d bytes, want at least %d", size, indexAt)
	}
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, err
	}
	format, n := binary.LittleEndian.Uint32(head[8:]), int64(binary.LittleEndian.Uint32(head[12:]))
	switch length := binary.LittleEndian.Uint64(head[16:]); {
	case string(head[:8]) != fileMagic:
		return nil, invalid("it begins with %q, want %q", head[:8], fileMagic)
	case format != fileFormat:
		return nil, invalid("format %d, want %d", format, fileFormat)
	case length != uint64(size):
		return nil, invalid("truncated: %d bytes, its header says %d", size, length)
	case n > maxIndex || indexAt+n > size:
		return nil, invalid("an index of %d bytes in a file of %d", n, size)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, indexAt); err != nil && err != io.EOF {
		return nil, err
	}
	if sum := sha256.Sum256(text); !bytes.Equal(sum[:], head[24:24+sha256.Size]) {
		return nil, invalid("its index is damaged: SHA-256 %x, want %x", sum[:4], head[24:28])
	}
	h := &header{}
	copy(h.stamp[:], head[stampAt:])
	if err := json.Unmarshal(text, &h.index); err != nil {
		return nil, invalid("its index: %v", err)
	}
	if want := h.index.place(n); want != size {
		return nil, invalid("its matrices end at byte %d, the file at %d", want, size)
	}
	return h, h.index.check(n)
}

// place is the end of the last matrix, or where the first would begin.
func (x *fileIndex) place(index int64) int64 {
	if n := len(x.Layers); n > 0 {
		return x.Layers[n-1].Offset + x.Layers[n-1].Bytes
	}
	return indexAt + index
}

// check wants matrices that the kernels know, one behind the other.
func (x *fileIndex) check(index int64) error {
	at, seen := indexAt+index, make(map[string]bool, len(x.Layers))
	for _, l := range x.Layers {
		size, err := Size(l.Rows, l.Cols, l.Weight)
		switch {
		case err != nil:
			return invalid("%s: %v", l.Path, err)
		case seen[l.Path]:
			return invalid("two matrices are %q", l.Path)
		case l.Bytes != size || l.Offset != aligned(at):
			return invalid("%s: %d bytes at %d, want %d at %d", l.Path, l.Bytes, l.Offset, size, aligned(at))
		}
		at, seen[l.Path] = l.Offset+size, true
	}
	return nil
}

func aligned(n int64) int64 { return (n + fileAlign - 1) / fileAlign * fileAlign }

// encode is the header for an index, and the index with the offsets that the matrices have behind it. The hashes must
// have their final length already.
func (x *fileIndex) encode(stamp [sha256.Size]byte) ([]byte, error) {
	var text []byte
	for n := int64(0); ; n = int64(len(text)) { // the numbers of digits of the offsets depend on where they begin
		at := indexAt + n
		for i := range x.Layers {
			x.Layers[i].Offset = aligned(at)
			at = x.Layers[i].Offset + x.Layers[i].Bytes
		}
		var err error
		if text, err = json.Marshal(x); err != nil {
			return nil, err
		}
		if int64(len(text)) == n {
			break
		}
	}
	if len(text) > maxIndex {
		return nil, fmt.Errorf("int4: an index of %d bytes, want at most %d", len(text), maxIndex)
	}
	head := make([]byte, indexAt, indexAt+len(text))
	copy(head, fileMagic)
	binary.LittleEndian.PutUint32(head[8:], fileFormat)
	binary.LittleEndian.PutUint32(head[12:], uint32(len(text)))
	binary.LittleEndian.PutUint64(head[16:], uint64(x.place(int64(len(text)))))
	sum := sha256.Sum256(text)
	copy(head[24:], sum[:])
	copy(head[stampAt:], stamp[:])
	return append(head, text...), nil
}
