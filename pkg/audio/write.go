package audio

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/fsx"
)

// Format of the samples in a file. Integer formats clip what is beyond full scale; float32 keeps it.
type Format int

// PCM16 is what every player reads; a sample that Read gave for a file of one of the formats is stored in it unchanged.
const (
	PCM16 Format = iota
	PCM24
	Float32
)

// bytes of one sample.
func (f Format) bytes() int { return int(f) + 2 }

func (f Format) String() string {
	switch f {
	case PCM16:
		return "pcm16"
	case PCM24:
		return "pcm24"
	case Float32:
		return "float32"
	}
	return fmt.Sprintf("format %d", int(f))
}

// append adds the samples as they lie in the file.
func (f Format) append(b []byte, samples []float32) []byte {
	for _, x := range samples {
		switch f {
		case PCM16:
			b = binary.LittleEndian.AppendUint16(b, uint16(quantize(x, 1<<15)))
		case PCM24:
			v := quantize(x, 1<<23)
			b = append(b, byte(v), byte(v>>8), byte(v>>16))
		default:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	}
	return b
}

// quantize rounds x·full half to even and clips it to -full … full-1.
func quantize(x float32, full float64) int32 {
	return int32(min(max(math.RoundToEven(float64(x)*full), -full), full-1))
}

// Write writes c as a mono WAV file, atomically: path has the old content or the new.
func Write(path string, c Clip, f Format) error {
	w, err := Create(path, c.Rate, f)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := w.Write(c.Samples); err != nil {
		return err
	}
	return w.Close()
}

// Writer writes a mono WAV file while its samples arrive. The file is at its path after Close and not before.
type Writer struct {
	path    string
	rate    int
	format  Format
	out     *fsx.Pending
	samples int64 // written so far
	buf     []byte
}

// Create starts a WAV file. Close, or Abort, ends it.
func Create(path string, rate int, f Format) (*Writer, error) {
	if f < PCM16 || f > Float32 {
		return nil, fmt.Errorf("audio: %s: %v, want pcm16, pcm24 or float32", path, f)
	}
	if err := checkRate(rate); err != nil {
		return nil, fmt.Errorf("audio: %s: %w", path, err)
	}
	out, err := fsx.Create(path)
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	w := &Writer{path: path, rate: rate, format: f, out: out}
	if _, err := out.Write(w.header(math.MaxUint32)); err != nil { // of unknown length, for who looks on
		out.Abort()
		return nil, fmt.Errorf("audio: %w", err)
	}
	return w, nil
}

// Write appends samples. One that is not finite is an error, and then nothing is appended; a disk that is full ends the
// file as Abort does.
func (w *Writer) Write(samples []float32) error {
	for i, x := range samples {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("audio: %s: sample %d is %v, want a finite number", w.path, w.samples+int64(i), x)
		}
	}
	after := w.samples + int64(len(samples))
	if after*int64(w.format.bytes()) > math.MaxUint32-1024 {
		return fmt.Errorf("audio: %s: %d samples of %s, want less than the 4 GiB that a WAV file can hold", w.path, after, w.format)
	}
	const block = 1 << 14
	for len(samples) > 0 {
		n := min(len(samples), block)
		w.buf = w.format.append(w.buf[:0], samples[:n])
		if _, err := w.out.Write(w.buf); err != nil {
			w.Abort() // some of the block may be there: Close must not make it a file
			return fmt.Errorf("audio: %w", err)
		}
		samples = samples[n:]
	}
	w.samples = after
	return nil
}

// Close fills in the sizes and gives the file its name. A file without samples is an error: no reader could use it.
func (w *Writer) Close() error {
	defer w.out.Abort()
	if w.samples == 0 {
		return fmt.Errorf("audio: %s: no samples to write", w.path)
	}
	size := w.samples * int64(w.format.bytes())
	var err error
	if size%2 != 0 {
		_, err = w.out.Write([]byte{0}) // chunks have even sizes
	}
	if err == nil {
		_, err = w.out.WriteAt(w.header(uint32(size)), 0)
	}
	if err == nil {
		err = w.out.Commit()
	}
	if err != nil {
		return fmt.Errorf("audio: %w", err)
	}
	return nil
}

// Abort gives up: nothing is left of the file. After Close it does nothing.
func (w *Writer) Abort() { w.out.Abort() }

// header is everything before the samples, of which there are size bytes.
func (w *Writer) header(size uint32) []byte {
	le := binary.LittleEndian
	width := uint32(w.format.bytes())
	tag := uint16(tagPCM)
	if w.format == Float32 {
		tag = tagFloat
	}
	b := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt "), 16, 0, 0, 0)
	b = le.AppendUint16(b, tag)
	b = le.AppendUint16(b, 1) // channel
	b = le.AppendUint32(b, uint32(w.rate))
	b = le.AppendUint32(b, uint32(w.rate)*width)
	b = le.AppendUint16(b, uint16(width))
	b = le.AppendUint16(b, uint16(width*8))
	if tag == tagFloat { // other encodings than PCM have an extension, empty here, and count their samples
		le.PutUint32(b[16:], 18)
		b = append(b, 0, 0)
		b = append(b, "fact\x04\x00\x00\x00"...)
		b = le.AppendUint32(b, size/width)
	}
	b = append(b, "data"...)
	b = le.AppendUint32(b, size)
	riff := size
	if size < math.MaxUint32 {
		riff = uint32(len(b)) - 8 + size + size%2
	}
	le.PutUint32(b[4:], riff)
	return b
}
