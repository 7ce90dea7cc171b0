package audio

import (
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var formats = []Format{PCM16, PCM24, Float32}

// noise of n values that the format holds exactly, with both ends of its range.
func noise(f Format, n int) []float32 {
	r := rand.New(rand.NewPCG(3, uint64(f)))
	full := map[Format]float64{PCM16: 1 << 15, PCM24: 1 << 23, Float32: 1 << 23}[f]
	x := []float32{-1, float32((full - 1) / full), 0}
	for len(x) < n {
		x = append(x, float32(math.Floor((2*r.Float64()-1)*full)/full))
	}
	return x
}

func TestRoundTripIsExact(t *testing.T) {
	for _, f := range formats {
		path := filepath.Join(t.TempDir(), "a.wav")
		x := noise(f, 40001) // more than a block, and odd: 24 bits need a pad byte
		if err := Write(path, Clip{Rate: 24000, Samples: x}, f); err != nil {
			t.Fatal(err)
		}
		c, err := Read(path)
		if err != nil || c.Rate != 24000 || !slices.Equal(c.Samples, x) {
			t.Errorf("%v: %d samples at %d Hz, error %v", f, len(c.Samples), c.Rate, err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if riff := int(le.Uint32(b[4:])); riff != len(b)-8 || len(b)%2 != 0 {
			t.Errorf("%v: RIFF size %d in a file of %d bytes", f, riff, len(b))
		}
	}
}

// The bytes of a file, from the description of the format.
func TestHeaderBytes(t *testing.T) {
	write := func(f Format) string {
		path := filepath.Join(t.TempDir(), "a.wav")
		if err := Write(path, Clip{Rate: 24000, Samples: []float32{0.5}}, f); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for f, want := range map[Format]string{
		PCM16: "RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\xc0\x5d\x00\x00\x80\xbb\x00\x00\x02\x00\x10\x00" +
			"data\x02\x00\x00\x00\x00\x40",
		PCM24: "RIFF\x28\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\xc0\x5d\x00\x00\x40\x19\x01\x00\x03\x00\x18\x00" +
			"data\x03\x00\x00\x00\x00\x00\x40\x00",
		Float32: "RIFF\x36\x00\x00\x00WAVEfmt \x12\x00\x00\x00\x03\x00\x01\x00\xc0\x5d\x00\x00\x00\x77\x01\x00\x04\x00\x20\x00\x00\x00" +
			"fact\x04\x00\x00\x00\x01\x00\x00\x00data\x04\x00\x00\x00\x00\x00\x00\x3f",
	} {
		if got := write(f); got != want {
			t.Errorf("%v:\n%q, want\n%q", f, got, want)
		}
	}
}

func TestIntegersClip(t *testing.T) {
	x := []float32{1, 1.5, -1.5, 1e30, -1e30, 0.9999999}
	for _, f := range formats {
		path := filepath.Join(t.TempDir(), "a.wav")
		if err := Write(path, Clip{Rate: 8000, Samples: x}, f); err != nil {
			t.Fatal(err)
		}
		c, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		top := map[Format]float32{PCM16: 32767.0 / 32768, PCM24: 8388607.0 / 8388608}[f]
		want := []float32{top, top, -1, top, -1, top}
		if f == Float32 {
			want = x
		}
		if !slices.Equal(c.Samples, want) {
			t.Errorf("%v: %v, want %v", f, c.Samples, want)
		}
	}
}

func TestWriterStreams(t *testing.T) {
	for _, f := range formats {
		dir := t.TempDir()
		path := filepath.Join(dir, "a.wav")
		x := noise(f, 5003)
		w, err := Create(path, 16000, f)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(x); at += 1000 {
			if err := w.Write(x[at:min(at+1000, len(x))]); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("%v: there is a file before the end", f)
			}
		}
		// What is on the disk by now is a WAV file of unknown length.
		growing, err := filepath.Glob(filepath.Join(dir, ".a.wav.tmp-*"))
		if err != nil || len(growing) != 1 {
			t.Fatalf("%v, error %v", growing, err)
		}
		if c, err := Read(growing[0]); err != nil || !slices.Equal(c.Samples, x) {
			t.Errorf("%v: while it grows: %d samples, error %v", f, len(c.Samples), err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w.Abort()
		if c, err := Read(path); err != nil || c.Rate != 16000 || !slices.Equal(c.Samples, x) {
			t.Errorf("%v: %d samples at %d Hz, error %v", f, len(c.Samples), c.Rate, err)
		}
		if err := w.Write(x); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%v: written after the end: %v", f, err)
		}
		if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%v: closed twice: %v", f, err)
		}
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.wav")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	nan := float32(math.NaN())
	for want, write := range map[string]func() error{
		"sample 2 is NaN, want a finite number":  func() error { return Write(path, Clip{24000, []float32{0, 0, nan}}, PCM16) },
		"no samples to write":                    func() error { return Write(path, Clip{Rate: 24000}, PCM16) },
		"sample rate 0 Hz, want 1000 to 768000":  func() error { return Write(path, Clip{0, []float32{0}}, PCM16) },
		"format 3, want pcm16, pcm24 or float32": func() error { return Write(path, Clip{24000, []float32{0}}, 3) },
		"no such file or directory":              func() error { return Write(filepath.Join(path+".none", "a.wav"), Clip{24000, []float32{0}}, PCM16) },
		"want less than the 4 GiB that a WAV file can hold": func() error {
			w, err := Create(path, 24000, Float32)
			if err != nil {
				return err
			}
			defer w.Abort()
			w.samples = 1<<30 - 300
			return w.Write(make([]float32, 100))
		},
	} {
		if err := write(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want %q and the path", err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "old" || len(entries) != 1 {
		t.Errorf("after failed writes: %q, %d files", b, len(entries))
	}
}
