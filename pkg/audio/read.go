package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Read reads a WAV file and mixes its channels down to their mean: PCM of 8, 16, 24 or 32 bits, or float of 32 or 64, in
// the plain or the extensible form. Integers are divided by 2^(bits-1), floats are taken as they are, also beyond ±1.
// Chunks other than fmt and data are skipped.
//
// The size of the data chunk may be one of those that a writer leaves that cannot seek (0x7ffff000 and above, or 0 in a
// file whose RIFF size is 0 too): the samples then reach to the end of the file. Any other size that the file does not
// have is an error, as are a file without samples and a sample that is no finite float32.
func Read(path string) (Clip, error) {
	c, err := readFile(path)
	if err != nil {
		return Clip{}, fmt.Errorf("audio: %s: %w", path, err)
	}
	return c, nil
}

func readFile(path string) (Clip, error) {
	f, err := os.Open(path)
	if err != nil {
		return Clip{}, unwrapPath(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Clip{}, unwrapPath(err)
	}
	if !st.Mode().IsRegular() {
		return Clip{}, fmt.Errorf("%s, want a regular file", kindOf(st.Mode()))
	}
	return decode(f, st.Size())
}

func kindOf(m os.FileMode) string {
	if m.IsDir() {
		return "a folder"
	}
	return "a device or pipe"
}

// unwrapPath drops the path, which Read names.
func unwrapPath(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// decode reads a WAV file of the given size.
func decode(r io.ReaderAt, size int64) (Clip, error) {
	h, err := readHeader(r, size)
	if err != nil {
		return Clip{}, err
	}
	frame := h.frame()
	sample := h.decoder()
	width, channels := int64(h.bits/8), float64(h.channels)
	out := make([]float32, 0, h.size/frame)          // the file has these bytes: no header makes this larger
	block := make([]byte, max(1, 1<<16/frame)*frame) // whole frames
	in := io.NewSectionReader(r, h.data, h.size)
	for left := h.size; left > 0; left -= int64(len(block)) {
		block = block[:min(left, int64(len(block)))]
		if _, err := io.ReadFull(in, block); err != nil {
			return Clip{}, unwrapPath(err)
		}
		for b := block; len(b) > 0; b = b[frame:] {
			sum := 0.0
			for at := int64(0); at < frame; at += width {
				sum += sample(b[at:])
			}
			mean := float32(sum / channels)
			if math.IsNaN(float64(mean)) || math.IsInf(float64(mean), 0) {
				return Clip{}, fmt.Errorf("WAV sample %d is %v, want a finite float32", len(out), sum/channels)
			}
			out = append(out, mean)
		}
	}
	return Clip{Rate: h.rate, Samples: out}, nil
}

// decoder reads one sample, at full scale ±1.
func (h *header) decoder() func(b []byte) float64 {
	le := binary.LittleEndian
	switch {
	case h.float && h.bits == 32:
		return func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b))) }
	case h.float:
		return func(b []byte) float64 { return math.Float64frombits(le.Uint64(b)) }
	case h.bits == 8: // unsigned, unlike the others
		return func(b []byte) float64 { return (float64(b[0]) - 128) / 128 }
	case h.bits == 16:
		return func(b []byte) float64 { return float64(int16(le.Uint16(b))) / (1 << 15) }
	case h.bits == 24:
		return func(b []byte) float64 {
			return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
		}
	}
	return func(b []byte) float64 { return float64(int32(le.Uint32(b))) / (1 << 31) }
}
