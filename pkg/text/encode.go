package text

import "strings"

// Bounds of what an encoder remembers: about four megabytes.
const (
	mostWords   = 1 << 15
	longestWord = 64 // bytes
)

// encoder is the working memory of one call of Encode at a time.
type encoder struct {
	*tables
	split Split
	known map[string][]int32 // ids of words met before
	merger
	out []int32
}

// Encode is the ids of a text. Added tokens in the text count as such.
func (t *Tokenizer) Encode(s string) []int32 { return t.Append(nil, s) }

// Append appends the ids of a text to dst.
func (t *Tokenizer) Append(dst []int32, s string) []int32 {
	e := t.encoders.Get().(*encoder)
	e.out = dst
	plain := func(s string) { e.normalized.cut(Normalize(s), e.words, e.added) }
	e.raw.cut(s, plain, e.added)
	dst, e.out = e.out, nil
	t.encoders.Put(e)
	return dst
}

func (e *encoder) added(t token) { e.out = append(e.out, t.id) }

// words encodes normalized text without added tokens.
func (e *encoder) words(s string) {
	for s != "" {
		n := e.split.word(s)
		e.word(s[:n])
		s = s[n:]
	}
}

func (e *encoder) word(s string) {
	if ids, ok := e.known[s]; ok {
		e.out = append(e.out, ids...)
		return
	}
	ids := e.join(&e.joins, s, &e.bytes)
	e.out = append(e.out, ids...)
	if len(s) > longestWord {
		return
	}
	if len(e.known) >= mostWords {
		clear(e.known)
	}
	e.known[strings.Clone(s)] = append([]int32(nil), ids...)
}

// Part is a piece of a text, for those who build other tokenizers of the same steps.
type Part struct {
	Start, End int   // bytes of the text
	ID         int32 // of the added token that the part is, else -1
}

// Cut is the first step of Encode: the added tokens of a text as given, and what lies between them, which Normalize is for.
func (t *Tokenizer) Cut(s string) []Part {
	var c cutter
	t.raw.cut(s, c.rest, c.added)
	return c.parts
}

// Words is the third step of Encode: normalized text, without the tokens that Cut finds, in words that Join is for.
func (t *Tokenizer) Words(s string) []Part {
	var c cutter
	t.normalized.cut(s, func(s string) {
		for s != "" {
			n := t.split.word(s)
			c.rest(s[:n])
			s = s[n:]
		}
	}, c.added)
	return c.parts
}

// cutter lists parts in a row.
type cutter struct {
	parts []Part
	at    int
}

func (c *cutter) part(n int, id int32) {
	c.parts = append(c.parts, Part{c.at, c.at + n, id})
	c.at += n
}

func (c *cutter) rest(s string) { c.part(len(s), -1) }

func (c *cutter) added(t token) { c.part(len(t.content), t.id) }

// Join is the last step of Encode: the ids of one word.
func (t *Tokenizer) Join(word string) []int32 {
	e := t.encoders.Get().(*encoder)
	e.out = nil
	if word != "" {
		e.word(word)
	}
	out := e.out
	e.out = nil
	t.encoders.Put(e)
	return out
}
