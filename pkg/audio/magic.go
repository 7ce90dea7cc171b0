package audio

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// magics of files that are taken for WAV files, at the given offset.
var magics = []struct {
	at   int
	text string
	name string
}{
	{0, "fLaC", "FLAC"},
	{0, "ID3", "MP3"},
	{0, "\xff\xfb", "MP3"}, {0, "\xff\xf3", "MP3"}, {0, "\xff\xf2", "MP3"}, {0, "\xff\xfa", "MP3"},
	{0, "\xff\xf1", "AAC"}, {0, "\xff\xf9", "AAC"},
	{0, "OggS", "OGG"},
	{4, "ftyp", "MP4 or M4A"},
	{0, "\x1aE\xdf\xa3", "WebM or Matroska"},
	{0, "FORM", "AIFF"},
	{0, "caff", "CAF"},
	{0, ".snd", "AU"},
	{0, "#!AMR", "AMR"},
	{0, "RF64", "a WAV file with 64-bit sizes (RF64), which is not supported"},
	{0, "BW64", "a WAV file with 64-bit sizes (BW64), which is not supported"},
	{0, "RIFX", "a big-endian WAV file (RIFX), which is not supported"},
	{0, "\x1f\x8b", "gzip"},
	{0, "PK\x03\x04", "a ZIP archive"},
	{0, "version http", "a Git LFS pointer: the file itself was not downloaded"},
	{0, "<!DOCTYPE", "an HTML page"}, {0, "<html", "an HTML page"},
}

// looksLike names the kind of file that starts with head.
func looksLike(head []byte) string {
	text := string(head)
	for _, m := range magics {
		if len(text) >= m.at && strings.HasPrefix(text[m.at:], m.text) {
			return m.name
		}
	}
	switch {
	case text == "":
		return "an empty file"
	case strings.HasPrefix(text, "RIFF") && len(text) < 12:
		return "the first bytes of one"
	case strings.HasPrefix(text, "RIFF"):
		return fmt.Sprintf("a RIFF file of type %q", text[8:])
	case utf8.ValidString(text) && !strings.ContainsRune(text, 0):
		return fmt.Sprintf("a text that starts with %q", text)
	}
	return fmt.Sprintf("something that starts with the bytes % x", head)
}

func encodingName(tag uint16) string {
	known := map[uint16]string{0x02: "ADPCM", 0x06: "A-law", 0x07: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM 6.10",
		0x50: "MPEG", 0x55: "MP3", 0xff: "AAC"}
	if name, ok := known[tag]; ok {
		return fmt.Sprintf("%s (0x%04x)", name, tag)
	}
	return fmt.Sprintf("0x%04x", tag)
}
