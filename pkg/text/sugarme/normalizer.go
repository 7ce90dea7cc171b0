package sugarme

import (
	"strings"
	"unicode/utf8"

	"github.com/sugarme/tokenizer/normalizer"
	"golang.org/x/text/unicode/norm"

	"github.com/qakd/qakd/pkg/text"
)

// Normalizer is normalization form C of what lies between added tokens.
type Normalizer struct{ Tokenizer *text.Tokenizer }

var _ normalizer.Normalizer = Normalizer{}

// Normalize keeps track of which bytes came from which. The string that it gets stays as it is.
func (n Normalizer) Normalize(s *normalizer.NormalizedString) (*normalizer.NormalizedString, error) {
	if !utf8.ValidString(s.GetNormalized()) {
		return nil, errUTF8
	}
	var a aligner
	for _, part := range n.Tokenizer.Cut(s.GetNormalized()) {
		if section := s.GetNormalized()[part.Start:part.End]; part.ID >= 0 {
			a.keep(section)
		} else {
			a.compose(section)
		}
	}
	return a.apply(s), nil
}

// compose normalizes a string without added tokens.
func compose(s *normalizer.NormalizedString) *normalizer.NormalizedString {
	var a aligner
	a.compose(s.GetNormalized())
	return a.apply(s)
}

// aligner writes a text anew and remembers from which bytes each came.
type aligner struct {
	out  []byte
	from [][2]int // for each byte of out the bytes of the text that it stands for
	to   [][2]int // and the other way round
}

// replace writes next for the bytes of old, none of which has a counterpart of its own.
func (a *aligner) replace(old, next string) {
	from, to := [2]int{len(a.to), len(a.to) + len(old)}, [2]int{len(a.out), len(a.out) + len(next)}
	for range len(next) {
		a.from = append(a.from, from)
	}
	for range len(old) {
		a.to = append(a.to, to)
	}
	a.out = append(a.out, next...)
}

// keep writes text as it is, character by character.
func (a *aligner) keep(text string) {
	for i, r := range text {
		c := text[i : i+utf8.RuneLen(r)]
		a.replace(c, c)
	}
}

// compose writes normalization form C, aligned where a character starts that does not melt into the one before.
func (a *aligner) compose(s string) {
	whole := text.Normalize(s)
	if whole == s {
		a.keep(s)
		return
	}
	var old, next []string
	for rest := s; rest != ""; {
		n := norm.NFC.NextBoundaryInString(rest, true)
		if n <= 0 {
			n = len(rest)
		}
		old, next = append(old, rest[:n]), append(next, text.Normalize(rest[:n]))
		rest = rest[n:]
	}
	if strings.Join(next, "") != whole { // more marks on one character than a boundary is found behind
		old, next = []string{s}, []string{whole}
	}
	for i := range old {
		if old[i] == next[i] {
			a.keep(old[i])
		} else {
			a.replace(old[i], next[i])
		}
	}
}

// apply is s with the new text in place of its normalized one: alignments of alignments.
func (a *aligner) apply(s *normalizer.NormalizedString) *normalizer.NormalizedString {
	through := func(span [2]int, table [][]int) []int {
		if span[0] >= span[1] || span[1] > len(table) {
			return []int{span[0], span[1]}
		}
		return []int{table[span[0]][0], table[span[1]-1][1]}
	}
	var alignments, original [][]int
	for _, span := range a.from {
		alignments = append(alignments, through(span, s.Alignments()))
	}
	to := make([][]int, len(a.to))
	for i, span := range a.to {
		to[i] = []int{span[0], span[1]}
	}
	for _, span := range s.AlignmentsOriginal() {
		original = append(original, through([2]int{span[0], span[1]}, to))
	}
	return normalizer.NewNormalizedString(s.GetOriginal(), string(a.out), alignments, original, s.Shift())
}
