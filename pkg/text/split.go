package text

import "unicode/utf8"

// Split is a way to cut text into words before merging; merges never cross a cut.
type Split int

const (
	// SplitQwen2 is how Qwen2 text, and with it the text that Qwen3-TTS was trained on, is cut. In the notation of regular
	// expressions, the first alternative that matches wins:
	//
	//	(?i:'s|'t|'re|'ve|'m|'ll|'d)
	//	[^\r\n\p{L}\p{N}]?\p{L}+
	//	\p{N}
	//	 ?[^\s\p{L}\p{N}]+[\r\n]*
	//	\s*[\r\n]+
	//	\s+(?!\S)
	//	\s+
	SplitQwen2 Split = iota

	// SplitCased is how the reference implementation cuts when it opens a real checkpoint from a local folder: a repair meant
	// for another model's tokenizer strikes Qwen3-TTS's too. Contractions stay together, words are cut before capitals
	// ("iPhone", "OpenAI"), marks belong to words, and punctuation takes slashes along. It is only of use for comparing with
	// such a run. Instead of the first two alternatives it has, with U for [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and W for
	// [\p{Ll}\p{Lm}\p{Lo}\p{M}]:
	//
	//	[^\r\n\p{L}\p{N}]?U*W+
	//	[^\r\n\p{L}\p{N}]?U+W*
	//
	// and [\r\n/]* instead of [\r\n]* behind punctuation.
	SplitCased
)

// String is the name of the split.
func (s Split) String() string {
	if s == SplitCased {
		return "cased"
	}
	return "qwen2"
}

// word is the length of the first word of s, which is not empty.
func (s Split) word(text string) int {
	if s == SplitCased {
		return casedWord(text)
	}
	return qwen2Word(text)
}

func qwen2Word(s string) int {
	if s[0] == '\'' {
		if n := contraction(s); n > 0 {
			return n
		}
	}
	c, n := classAt(s, 0)
	switch {
	case c&letter != 0:
		return run(s, n, letter)
	case c&number != 0:
		return n
	case c&newline == 0 && startsWith(s, n, letter): // one character of any other kind leads a word
		return run(s, n, letter)
	}
	if end := symbols(s); end > 0 {
		return run(s, end, newline)
	}
	return whiteSpace(s)
}

// contraction is the length of an English ending behind the apostrophe that s begins with, or 0. In any case, "ſ"
// (U+017F) counts as an s.
func contraction(s string) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] | 0x20 {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(s) > 2 && s[2]|0x20 == 'e' {
			return 3
		}
	case 'l':
		if len(s) > 2 && s[2]|0x20 == 'l' {
			return 3
		}
	}
	if r, n := utf8.DecodeRuneInString(s[1:]); r == 'ſ' {
		return 1 + n
	}
	return 0
}

// symbols is the end of a run of symbols, which one space may lead, or 0.
func symbols(s string) int {
	start := 0
	if s[0] == ' ' {
		start = 1
	}
	if end := run(s, start, symbol); end > start {
		return end
	}
	return 0
}

// whiteSpace is the end of the first piece of white space: behind its last line break; without one, before the last
// character if a word follows, which that character then leads; at least one character.
func whiteSpace(s string) int {
	end, last, broken := 0, 0, 0
	for end < len(s) {
		c, n := classAt(s, end)
		if c&space == 0 {
			break
		}
		last, end = end, end+n
		if c&newline != 0 {
			broken = end
		}
	}
	switch {
	case broken > 0:
		return broken
	case end < len(s) && last > 0:
		return last
	}
	return end
}
