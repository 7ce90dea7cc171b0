package text

import (
	"unicode"
	"unicode/utf8"
)

// class is what the splits ask of a character. A character has one, with one exception: line breaks are white space too.
type class uint8

const (
	other    class = 1 << iota // punctuation, symbols, controls, unassigned, and bytes that are no UTF-8
	mark                       // \p{M}: neither letter nor punctuation, whatever one might expect
	upper                      // \p{Lu}, \p{Lt}
	lower                      // \p{Ll}
	caseless                   // \p{Lm}, \p{Lo}
	number                     // \p{N}
	space                      // \s
	newline                    // CR and LF

	letter = upper | lower | caseless
	symbol = other | mark // [^\s\p{L}\p{N}]
)

// ascii has the classes of the characters that most text is made of.
var ascii = func() (table [utf8.RuneSelf]class) {
	for c := range table {
		table[c] = classify(rune(c))
	}
	return table
}()

func classify(r rune) class {
	switch {
	case r == '\r' || r == '\n':
		return newline | space
	case r >= 0x4E00 && r <= 0x9FFF || r >= 0xAC00 && r <= 0xD7A3: // Han and Hangul, without a search in tables
		if unicode.Is(unicode.Lo, r) {
			return caseless
		}
		return other
	case unicode.IsSpace(r):
		return space
	case unicode.Is(unicode.Ll, r):
		return lower
	case unicode.In(r, unicode.Lu, unicode.Lt):
		return upper
	case unicode.IsLetter(r):
		return caseless
	case unicode.IsNumber(r):
		return number
	case unicode.IsMark(r):
		return mark
	}
	return classify16(r)
}

// classAt is the class of the character that begins at byte i, and its length in bytes.
func classAt(s string, i int) (class, int) {
	if b := s[i]; b < utf8.RuneSelf {
		return ascii[b], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	if r == utf8.RuneError && n == 1 {
		return other, 1
	}
	return classify(r), n
}

// run is the end of the longest run of characters of the classes in mask that begins at byte i.
func run(s string, i int, mask class) int {
	for i < len(s) {
		c, n := classAt(s, i)
		if c&mask == 0 {
			break
		}
		i += n
	}
	return i
}

// startsWith tells whether a character of the classes in mask begins at byte i.
func startsWith(s string, i int, mask class) bool {
	if i >= len(s) {
		return false
	}
	c, _ := classAt(s, i)
	return c&mask != 0
}
