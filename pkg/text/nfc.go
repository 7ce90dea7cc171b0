package text

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// longestRun is how many combining marks golang.org/x/text takes in a row before it inserts a combining grapheme joiner,
// which bounds its buffers but is not normalization form C.
const longestRun = 30

// Normalize is normalization form C, the second step of Encode. Bytes that are no UTF-8 stay as they are.
func Normalize(s string) string {
	if norm.NFC.IsNormalString(s) {
		return s
	}
	if marksInRow(s) <= longestRun {
		return norm.NFC.String(s)
	}
	return compose(s)
}

// marksInRow is the longest run of combining marks in the decomposition of s.
func marksInRow(s string) int {
	row, longest := 0, 0
	for i := 0; i < len(s); {
		p := norm.NFD.PropertiesString(s[i:])
		marks := max(utf8.RuneCount(p.Decomposition()), 1)
		if p.LeadCCC() == 0 {
			row, marks = 0, marks-1
		}
		row += marks
		longest = max(longest, row)
		i += max(p.Size(), 1)
	}
	return longest
}

// part is a character of a decomposition: its bytes and its canonical combining class.
type part struct {
	text string
	ccc  uint8
}

// compose follows the definition (Unicode Standard, section 3.11) for runs of marks of any length: decompose, sort
// each run of marks by class, then let every mark that nothing blocks melt into the starter before it.
func compose(s string) string {
	parts := decompose(s)
	var out []part
	starter := -1 // index in out
	for _, p := range parts {
		if starter >= 0 {
			last := out[len(out)-1]
			adjacent := len(out)-1 == starter
			if adjacent && p.ccc == 0 || p.ccc > 0 && (adjacent || last.ccc < p.ccc) {
				if melted := norm.NFC.String(out[starter].text + p.text); utf8.RuneCountInString(melted) == 1 {
					out[starter].text = melted
					continue
				}
			}
		}
		if p.ccc == 0 {
			starter = len(out)
		}
		out = append(out, p)
	}
	var text []byte
	for _, p := range out {
		text = append(text, p.text...)
	}
	return string(text)
}

// decompose is the canonical decomposition, its marks in canonical order.
func decompose(s string) []part {
	var parts []part
	row := 0 // where the current run of marks begins
	for i := 0; i < len(s); {
		p := norm.NFD.PropertiesString(s[i:])
		n := max(p.Size(), 1)
		whole := s[i : i+n]
		if d := p.Decomposition(); d != nil {
			whole = string(d)
		} else if utf8.ValidString(whole) {
			whole = norm.NFD.String(whole) // Hangul, which is decomposed by arithmetic
		}
		for whole != "" {
			q := norm.NFD.PropertiesString(whole)
			m := max(q.Size(), 1)
			if q.CCC() == 0 {
				byClass(parts[row:])
				row = len(parts) + 1
			}
			parts = append(parts, part{whole[:m], q.CCC()})
			whole = whole[m:]
		}
		i += n
	}
	byClass(parts[min(row, len(parts)):])
	return parts
}

func byClass(marks []part) {
	slices.SortStableFunc(marks, func(a, b part) int { return int(a.ccc) - int(b.ccc) })
}
