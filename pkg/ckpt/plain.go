package ckpt

import (
	"bytes"
	"unicode/utf8"
)

// A checkpoint of packed layers has a thousand tensors, and encoding/json takes longer over them than all the rest of
// opening. Headers as Write and the reference implementation write them, without an escape or a space between tokens, are
// read by this scanner; what differs in anything is left to strictHeader, which knows all of JSON and names what is wrong.

// plainHeader is the header of such a text, nil for any other.
func plainHeader(text []byte) *fileHeader {
	if !utf8.Valid(text) {
		return nil
	}
	s := &scanner{rest: bytes.TrimRight(text, " ")}
	h, seen := &fileHeader{metadata: map[string]string{}}, map[string]bool{}
	if !s.take("{") {
		return nil
	}
	if s.take(`"__metadata__":{`) {
		for first := true; !s.take("}"); first = false {
			if !first && !s.take(",") {
				return nil
			}
			key, ok := s.text()
			if _, twice := h.metadata[key]; !ok || twice || !s.take(":") {
				return nil
			}
			if h.metadata[key], ok = s.text(); !ok {
				return nil
			}
		}
		if !s.take(",") {
			return nil
		}
	}
	for {
		e, ok := s.entry()
		if !ok || seen[e.Name] || e.measure() != nil {
			return nil
		}
		seen[e.Name] = true
		h.entries = append(h.entries, e)
		if s.take("}") {
			break
		}
		if !s.take(",") {
			return nil
		}
	}
	if len(s.rest) > 0 {
		return nil
	}
	return h
}

// scanner eats a text from its beginning.
type scanner struct{ rest []byte }

func (s *scanner) take(token string) bool {
	if len(s.rest) < len(token) || string(s.rest[:len(token)]) != token {
		return false
	}
	s.rest = s.rest[len(token):]
	return true
}

// text takes a string without escapes.
func (s *scanner) text() (string, bool) {
	if !s.take(`"`) {
		return "", false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			t := string(s.rest[:i])
			s.rest = s.rest[i+1:]
			return t, true
		case c == '\\' || c < ' ':
			return "", false
		}
	}
	return "", false
}

// number takes digits that are an int64 for certain.
func (s *scanner) number() (n int64, ok bool) {
	i := 0
	for ; i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9'; i++ {
		n = 10*n + int64(s.rest[i]-'0')
		if i == 18 {
			return 0, false
		}
	}
	if i == 0 || i > 1 && s.rest[0] == '0' {
		return 0, false
	}
	s.rest = s.rest[i:]
	return n, true
}

// entry takes "name":{"dtype":"BF16","shape":[4,8],"data_offsets":[0,64]}.
func (s *scanner) entry() (e entry, ok bool) {
	if e.Name, ok = s.text(); !ok || e.Name == "" || e.Name == "__metadata__" || !s.take(`:{"dtype":`) {
		return e, false
	}
	if e.DType, ok = s.text(); !ok || !s.take(`,"shape":[`) {
		return e, false
	}
	e.Shape = []int64{}
	for first := true; !s.take("]"); first = false {
		if !first && !s.take(",") {
			return e, false
		}
		n, ok := s.number()
		if !ok {
			return e, false
		}
		e.Shape = append(e.Shape, n)
	}
	if !s.take(`,"data_offsets":[`) {
		return e, false
	}
	if e.begin, ok = s.number(); !ok || !s.take(",") {
		return e, false
	}
	if e.end, ok = s.number(); !ok {
		return e, false
	}
	return e, s.take("]}")
}
