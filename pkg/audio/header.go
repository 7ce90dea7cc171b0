package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Format tags of the fmt chunk.
const (
	tagPCM        = 0x0001
	tagFloat      = 0x0003
	tagExtensible = 0xfffe
)

// The rest of an extensible subformat, after its tag: KSDATAFORMAT_SUBTYPE_* of Microsoft's ksmedia.h.
var subformat = []byte{0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71}

// Writers that cannot seek leave a size they could not know: ffmpeg 0xffffffff, ALSA 0x80000000 or 0x7fffffff, SoX
// 0x7ffff000. Sizes from the smallest of these on that reach beyond the file mean "until the end".
const openEnded = 0x7ffff000

// header is what a WAV file says about its samples.
type header struct {
	float    bool
	bits     int // per sample and channel
	channels int
	rate     int
	data     int64 // offset of the first sample
	size     int64 // bytes of whole frames that the file really has
}

// frame is the bytes of one sample of all channels.
func (h *header) frame() int64 { return int64(h.channels) * int64(h.bits/8) }

// readHeader walks the chunks of a file of the given size up to its samples.
func readHeader(r io.ReaderAt, size int64) (*header, error) {
	var riff [12]byte
	n, err := r.ReadAt(riff[:min(size, 12)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n < 12 || string(riff[:4]) != "RIFF" || string(riff[8:]) != "WAVE" {
		return nil, fmt.Errorf("not a WAV file: it looks like %s", looksLike(riff[:n]))
	}
	unfinished := binary.LittleEndian.Uint32(riff[4:]) == 0 // its writer ended before it could fill in the sizes
	var h *header
	for at := int64(12); ; {
		var chunk [8]byte
		if size-at < 8 {
			return nil, fmt.Errorf("WAV file without %s chunk: it ends after %d bytes", wanted(h), size)
		}
		if _, err := r.ReadAt(chunk[:], at); err != nil {
			return nil, err
		}
		id, length := string(chunk[:4]), int64(binary.LittleEndian.Uint32(chunk[4:]))
		at += 8
		switch {
		case id == "data" && h == nil:
			return nil, errors.New("WAV file with its data chunk before its fmt chunk")
		case id == "data":
			h.data = at
			return h, h.measure(length, size-at, unfinished)
		case length > size-at:
			return nil, fmt.Errorf("truncated WAV file: chunk %q has %d bytes, %d are left", id, length, size-at)
		case id == "fmt ":
			if h, err = readFormat(r, at, length); err != nil {
				return nil, err
			}
		}
		at += length + length%2 // chunks start at even offsets
	}
}

func wanted(h *header) string {
	if h == nil {
		return "fmt"
	}
	return "data"
}

// readFormat reads the fmt chunk.
func readFormat(r io.ReaderAt, at, length int64) (*header, error) {
	var b [40]byte
	if length < 16 {
		return nil, fmt.Errorf("WAV fmt chunk has %d bytes, want at least 16", length)
	}
	b2 := b[:min(length, 40)]
	if _, err := r.ReadAt(b2, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	le := binary.LittleEndian
	tag := le.Uint16(b2)
	rate := int64(le.Uint32(b2[4:]))
	h := &header{channels: int(le.Uint16(b2[2:])), bits: int(le.Uint16(b2[14:]))}
	if tag == tagExtensible {
		if len(b2) < 40 || !bytes.Equal(b2[26:40], subformat) {
			return nil, errors.New("WAV fmt chunk is extensible with an unknown subformat, want PCM or float")
		}
		tag = le.Uint16(b2[24:])
	}
	h.float = tag == tagFloat
	switch {
	case tag != tagPCM && tag != tagFloat:
		return nil, fmt.Errorf("WAV encoding %s, want PCM or float", encodingName(tag))
	case tag == tagPCM && h.bits != 8 && h.bits != 16 && h.bits != 24 && h.bits != 32:
		return nil, fmt.Errorf("WAV file has %d bits per PCM sample, want 8, 16, 24 or 32", h.bits)
	case tag == tagFloat && h.bits != 32 && h.bits != 64:
		return nil, fmt.Errorf("WAV file has %d bits per float sample, want 32 or 64", h.bits)
	case h.channels == 0:
		return nil, errors.New("WAV file has 0 channels, want at least 1")
	case int64(le.Uint16(b2[12:])) != h.frame()&0xffff:
		return nil, fmt.Errorf("WAV file has %d bytes per frame, want %d: %d channels of %d bits", le.Uint16(b2[12:]), h.frame(), h.channels, h.bits)
	}
	h.rate = int(rate)
	return h, checkRate(h.rate)
}

// measure sets the bytes of samples: length says the data chunk, left is what the file has behind its head.
func (h *header) measure(length, left int64, unfinished bool) error {
	switch {
	case length > left && length < openEnded:
		return fmt.Errorf("truncated WAV file: data chunk has %d bytes, %d are left", length, left)
	case length > left, length == 0 && unfinished:
		length = left - left%h.frame() // the last frame may be cut
	case length%h.frame() != 0:
		return fmt.Errorf("WAV data chunk has %d bytes, want a multiple of %d: %d channels of %d bits", length, h.frame(), h.channels, h.bits)
	}
	if length == 0 {
		return errors.New("WAV file has no samples")
	}
	h.size = length
	return nil
}
