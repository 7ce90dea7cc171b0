package demo

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// A text token is a diphone: a phone and the one that follows it, with Edge before the first and after the last. So a
// text of n phones has n+1 tokens, and the token that begins with the phone of a frame says what comes next. Written
// down, the first half is an upper-case letter, the second a lower-case one, and Edge a dot or a z: ".cCaAbBz" is what the
// teacher's tokenizer reads as the text of c, a and b. See Spell.
const (
	Edge         = Phones // stands for silence before the first and after the last phone
	firstDiphone = 267    // text id of the first diphone: behind 256 bytes and the pieces of the prompt's words
	TextVocab    = 608    // rows of the teacher's text embedding
)

// diphone is the text id of two neighbors.
func diphone(phone, next int) int32 { return int32(firstDiphone + phone*(Phones+1) + next) }

// Text is the diphones of phones, each 0 … Phones-1.
func Text(phones ...int) []int32 {
	text := make([]int32, 0, len(phones)+1)
	past := Edge
	for _, p := range phones {
		text, past = append(text, diphone(past, p)), p
	}
	return append(text, diphone(past, Edge))
}

// split is the two neighbors of a text id.
func split(id int32) (phone, next int) {
	d := int(id - firstDiphone)
	return d / (Phones + 1), d % (Phones + 1)
}

// after is the phone (or Edge) that follows phone in a text; ok is false when the text has no such phone.
func after(text []int32, phone int) (next int, ok bool) {
	for _, id := range text {
		if p, n := split(id); p == phone {
			return n, true
		}
	}
	return 0, false
}

// Language is the language of every utterance: none is named to the model.
const Language = "auto"

var speakers = []string{"ada", "ben", "cleo", "dora", "emil", "finn", "gita", "hugo"}

// Speakers are the names of the speakers, in the order of their indices.
func Speakers() []string { return slices.Clone(speakers) }

// SpeakerIndex is the index of a speaker's name, -1 for a stranger.
func SpeakerIndex(name string) int { return slices.Index(speakers, name) }

// Letters is what the ids stand for.
func Letters(text []int32) string {
	var b []byte
	for _, id := range text {
		p, n := split(id)
		b = append(b, letter(p, 'A'), letter(n, 'a'))
	}
	return string(b)
}

func letter(phone int, first byte) byte {
	switch {
	case phone == Edge && first == 'A':
		return '.'
	case phone == Edge:
		return 'z'
	}
	return first + byte(phone)
}

// Spell is how a word of the language is written for the teacher, from its phones a … p: "cab" is ".cCaAbBz". It has
// MinText to MaxText phones, none of them twice: anything else is an error.
func Spell(word string) (string, error) {
	if n := utf8.RuneCountInString(word); n < MinText || n > MaxText {
		return "", fmt.Errorf("demo: word %q has %d phones, want %d to %d of the letters a to %c", word, n, MinText, MaxText, letter(Phones-1, 'a'))
	}
	phones := make([]int, 0, len(word))
	for _, r := range word {
		p := int(r - 'a')
		if p < 0 || p >= Phones {
			return "", fmt.Errorf("demo: word %q: %q is no phone, want the letters a to %c", word, r, letter(Phones-1, 'a'))
		}
		if slices.Contains(phones, p) {
			return "", fmt.Errorf("demo: word %q: %q comes twice, want each phone at most once", word, r)
		}
		phones = append(phones, p)
	}
	return Letters(Text(phones...)), nil
}
