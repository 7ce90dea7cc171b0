package text

import (
	"slices"
	"strings"
)

// matcher finds added tokens in text: the one that begins first, of those that begin at one place the longest.
type matcher struct {
	first [256][]token // by first byte, longest first
	any   bool
}

type token struct {
	content string
	id      int32
}

func (m *matcher) add(t token) {
	list := append(m.first[t.content[0]], t)
	slices.SortStableFunc(list, func(a, b token) int { return len(b.content) - len(a.content) })
	m.first[t.content[0]], m.any = list, true
}

// next is the first added token of s and the byte where it begins; ok is false, and at the length of s, where there is none.
func (m *matcher) next(s string) (at int, found token, ok bool) {
	if m.any {
		for i := range len(s) {
			for _, t := range m.first[s[i]] {
				if strings.HasPrefix(s[i:], t.content) {
					return i, t, true
				}
			}
		}
	}
	return len(s), token{}, false
}

// cut calls plain with the text between added tokens, where there is any, and added with the tokens.
func (m *matcher) cut(s string, plain func(string), added func(token)) {
	for s != "" {
		at, t, ok := m.next(s)
		if at > 0 {
			plain(s[:at])
		}
		if !ok {
			return
		}
		added(t)
		s = s[at+len(t.content):]
	}
}
