package audio

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var le = binary.LittleEndian

// chunk is one chunk of a RIFF file, padded.
func chunk(id string, body []byte) []byte {
	b := le.AppendUint32([]byte(id), uint32(len(body)))
	b = append(b, body...)
	if len(body)%2 != 0 {
		b = append(b, 0)
	}
	return b
}

func riff(chunks ...[]byte) []byte {
	body := append([]byte("WAVE"), bytes.Join(chunks, nil)...)
	return append(le.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// format is a fmt chunk.
func format(tag, channels, rate, bits int) []byte {
	b := le.AppendUint16(nil, uint16(tag))
	b = le.AppendUint16(b, uint16(channels))
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(rate*channels*bits/8))
	b = le.AppendUint16(b, uint16(channels*bits/8))
	return chunk("fmt ", le.AppendUint16(b, uint16(bits)))
}

// extensible is the long form: the tag is the beginning of a GUID.
func extensible(tag, channels, rate, bits int) []byte {
	b := format(tagExtensible, channels, rate, bits)[8:]
	b = append(b, 22, 0, byte(bits), 0, 0, 0, 0, 0)
	return chunk("fmt ", append(le.AppendUint16(b, uint16(tag)), subformat...))
}

func parse(b []byte) (Clip, error) { return decode(bytes.NewReader(b), int64(len(b))) }

func TestReadsEveryEncoding(t *testing.T) {
	f32 := func(v ...float32) (b []byte) {
		for _, x := range v {
			b = le.AppendUint32(b, math.Float32bits(x))
		}
		return b
	}
	f64 := func(v ...float64) (b []byte) {
		for _, x := range v {
			b = le.AppendUint64(b, math.Float64bits(x))
		}
		return b
	}
	tests := []struct {
		name          string
		tag, ch, bits int
		data          []byte
		want          []float32
	}{
		{"8 bit", tagPCM, 1, 8, []byte{0, 128, 255, 64}, []float32{-1, 0, 127.0 / 128, -0.5}},
		{"16 bit", tagPCM, 1, 16, []byte{0, 0x80, 0, 0, 0xff, 0x7f, 1, 0}, []float32{-1, 0, 32767.0 / 32768, 1.0 / 32768}},
		{"24 bit", tagPCM, 1, 24, []byte{0, 0, 0x80, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}, []float32{-1, 8388607.0 / 8388608, -1.0 / 8388608}},
		{"32 bit", tagPCM, 1, 32, []byte{0, 0, 0, 0x80, 0, 0, 0, 0x40}, []float32{-1, 0.5}},
		{"float", tagFloat, 1, 32, f32(0.1, -3.5, 0), []float32{0.1, -3.5, 0}},
		{"double", tagFloat, 1, 64, f64(0.1, -3.5), []float32{0.1, -3.5}},
		{"stereo", tagPCM, 2, 16, []byte{0, 0x40, 0, 0x20, 0, 0x40, 0, 0xc0}, []float32{0.375, 0}},
		{"three channels", tagFloat, 3, 32, f32(1, 0.5, 0, 3, 3, -3), []float32{0.5, 1}},
		{"stereo 8 bit", tagPCM, 2, 8, []byte{255, 1, 0, 0}, []float32{0, -1}},
		{"stereo double", tagFloat, 2, 64, f64(0.25, 0.75), []float32{0.5}},
	}
	for _, tc := range tests {
		for form, fmtChunk := range map[string][]byte{
			"plain":      format(tc.tag, tc.ch, 24000, tc.bits),
			"extensible": extensible(tc.tag, tc.ch, 24000, tc.bits),
		} {
			c, err := parse(riff(fmtChunk, chunk("data", tc.data)))
			if err != nil || c.Rate != 24000 || !slices.Equal(c.Samples, tc.want) {
				t.Errorf("%s, %s: %v, error %v, want %v", tc.name, form, c, err, tc.want)
			}
		}
	}
}

func TestSkipsOtherChunks(t *testing.T) {
	b := riff(chunk("JUNK", make([]byte, 7)), format(tagPCM, 1, 8000, 16), chunk("LIST", []byte("INFOx")), chunk("fact", make([]byte, 4)),
		chunk("data", []byte{0, 0x40, 0, 0x20}), chunk("id3 ", []byte("tail")))
	c, err := parse(b)
	if err != nil || !slices.Equal(c.Samples, []float32{0.5, 0.25}) {
		t.Errorf("%v, error %v", c, err)
	}
}

// Writers that could not seek back leave sizes that they did not know.
func TestOpenEndedSizes(t *testing.T) {
	whole := riff(format(tagPCM, 1, 8000, 16), chunk("data", []byte{0, 0x40, 0, 0x20, 7})) // the last frame is cut
	whole = whole[:len(whole)-1]
	for _, size := range []uint32{0xffffffff, 0x80000000, 0x7fffffff, 0x7ffff000, 0} {
		b := slices.Clone(whole)
		le.PutUint32(b[40:], size)
		le.PutUint32(b[4:], size)
		c, err := parse(b)
		if err != nil || !slices.Equal(c.Samples, []float32{0.5, 0.25}) {
			t.Errorf("size %#x: %v, error %v", size, c, err)
		}
	}
}

func TestBadFiles(t *testing.T) {
	mono := format(tagPCM, 1, 24000, 16)
	data := chunk("data", make([]byte, 8))
	good := riff(mono, data)
	patch := func(at int, v ...byte) []byte {
		b := slices.Clone(good)
		copy(b[at:], v)
		return b
	}
	cut := riff(chunk("junk", make([]byte, 100)))
	wrongGUID := riff(extensible(tagPCM, 1, 24000, 16), data)
	wrongGUID[len(wrongGUID)-len(data)-1]++
	tests := map[string]struct {
		file []byte
		want string
	}{
		"empty":           {nil, "not a WAV file: it looks like an empty file"},
		"flac":            {[]byte("fLaC\x00\x00\x00\x22aaaaaaaa"), "not a WAV file: it looks like FLAC"},
		"mp3":             {[]byte("ID3\x04\x00\x00\x00\x00\x00\x00aaaaaa"), "looks like MP3"},
		"mp3 frame":       {[]byte("\xff\xfb\x90\x64aaaaaaaaaaaa"), "looks like MP3"},
		"ogg":             {[]byte("OggS\x00\x02aaaaaaaaaaaa"), "looks like OGG"},
		"m4a":             {[]byte("\x00\x00\x00\x20ftypM4A aaaa"), "looks like MP4 or M4A"},
		"rf64":            {patch(0, 'R', 'F', '6', '4'), "RF64"},
		"big-endian":      {patch(3, 'X'), "RIFX"},
		"avi":             {patch(8, []byte("AVI ")...), `looks like a RIFF file of type "AVI "`},
		"pointer":         {[]byte("version https://git-lfs.github.com/spec/v1"), "Git LFS pointer"},
		"text":            {[]byte("hello world, this is no sound"), `looks like a text that starts with "hello world,"`},
		"bytes":           {[]byte("\x00\x01\x02\x03\x00\x01\x02\x03\x00\x01\x02\x03"), "starts with the bytes 00 01 02"},
		"head only":       {good[:10], "looks like the first bytes of one"},
		"no fmt":          {riff(), "without fmt chunk: it ends after 12 bytes"},
		"no data":         {riff(mono), "without data chunk"},
		"data first":      {riff(data, mono), "data chunk before its fmt chunk"},
		"short fmt":       {riff(chunk("fmt ", make([]byte, 14)), data), "fmt chunk has 14 bytes, want at least 16"},
		"cut chunk":       {cut[:len(cut)-1], `truncated WAV file: chunk "junk" has 100 bytes, 99 are left`},
		"cut data":        {good[:len(good)-1], "truncated WAV file: data chunk has 8 bytes, 7 are left"},
		"half frame":      {riff(mono, chunk("data", make([]byte, 7))), "data chunk has 7 bytes, want a multiple of 2"},
		"no samples":      {riff(mono, chunk("data", nil)), "no samples"},
		"open, empty":     {patch(40, 0xff, 0xff, 0xff, 0xff)[:44], "no samples"},
		"no channels":     {riff(format(tagPCM, 0, 24000, 16), data), "0 channels, want at least 1"},
		"12 bits":         {riff(format(tagPCM, 2, 24000, 12), data), "12 bits per PCM sample, want 8, 16, 24 or 32"},
		"16-bit float":    {riff(format(tagFloat, 1, 24000, 16), data), "16 bits per float sample, want 32 or 64"},
		"frame size":      {patch(32, 6), "6 bytes per frame, want 2: 1 channels of 16 bits"},
		"rate 0":          {riff(format(tagPCM, 1, 0, 16), data), "sample rate 0 Hz, want 1000 to 768000"},
		"rate 4 G":        {patch(24, 0xff, 0xff, 0xff, 0xff), "sample rate 4294967295 Hz"},
		"mu-law":          {riff(format(7, 1, 8000, 8), data), "encoding mu-law (0x0007), want PCM or float"},
		"unknown tag":     {riff(format(0x1234, 1, 8000, 8), data), "encoding 0x1234, want PCM or float"},
		"wrong subformat": {wrongGUID, "unknown subformat"},
		"short extension": {riff(format(tagExtensible, 1, 24000, 16), data), "unknown subformat"},
		"nan":             {riff(format(tagFloat, 1, 24000, 32), chunk("data", []byte{0, 0, 0, 0, 0, 0, 0xc0, 0x7f})), "sample 1 is NaN, want a finite float32"},
		"beyond float32":  {riff(format(tagFloat, 1, 24000, 64), chunk("data", le.AppendUint64(nil, math.Float64bits(1e300)))), "sample 0 is 1e+300"},
	}
	dir := t.TempDir()
	for name, tc := range tests {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "_")+".wav")
		if err := os.WriteFile(path, tc.file, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "audio: "+path+": ") {
			t.Errorf("%s: error %v, want %q and the path", name, err, tc.want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %v", name, err)
		}
	}
}

func TestPathsThatAreNoFiles(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.wav")
	for path, want := range map[string]string{dir: "a folder, want a regular file", missing: "no such file or directory"} {
		if _, err := Read(path); err == nil || err.Error() != "audio: "+path+": "+want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestLoadConverts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	if err := Write(path, Clip{Rate: 8000, Samples: tone(1000, 8000, 800)}, Float32); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, 24000)
	if err != nil || c.Rate != 24000 || len(c.Samples) != 2400 || c.Duration().Milliseconds() != 100 {
		t.Errorf("%d samples at %d Hz, %v, error %v", len(c.Samples), c.Rate, c.Duration(), err)
	}
	if _, err := Load(path, 0); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("rate 0: error %v", err)
	}
}

// FuzzRead: no file may crash the reader, or make it allocate more than its own size asks for.
func FuzzRead(f *testing.F) {
	f.Add(riff(format(tagPCM, 2, 24000, 16), chunk("data", make([]byte, 8))))
	f.Add(riff(chunk("LIST", []byte("x")), extensible(tagFloat, 1, 8000, 64), chunk("data", make([]byte, 16))))
	f.Add(riff(format(tagPCM, 65535, 8000, 32), chunk("data", make([]byte, 3))))
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEfmt \xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse(b)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		if len(c.Samples) == 0 || cap(c.Samples) > len(b) || c.Rate < MinRate || c.Rate > MaxRate {
			t.Errorf("%d samples (room for %d) of a file of %d bytes, rate %d", len(c.Samples), cap(c.Samples), len(b), c.Rate)
		}
	})
}
