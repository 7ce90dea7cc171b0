package text

const (
	capital = upper | caseless | mark // U of SplitCased
	small   = lower | caseless | mark // W
)

func casedWord(s string) int {
	c, n := classAt(s, 0)
	lead := c&(newline|letter|number) == 0 // one character of any other kind may lead a word
	for _, match := range []func(string, int) int{capitalized, capitals} {
		if lead {
			if end := match(s, n); end > 0 {
				return end
			}
		}
		if end := match(s, 0); end > 0 {
			return end
		}
	}
	if c&number != 0 {
		return n
	}
	if end := symbols(s); end > 0 {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n' || s[end] == '/') {
			end++
		}
		return end
	}
	return whiteSpace(s)
}

// capitalized is the end of U*W+ at byte i, or 0. Where no small letter ends the run of U, the run gives back what only U
// has, up to the last character that W has as well.
func capitalized(s string, i int) int {
	both := 0 // end of the last character that U and W share
	for i < len(s) {
		c, n := classAt(s, i)
		if c&capital == 0 {
			break
		}
		if i += n; c&small != 0 {
			both = i
		}
	}
	if end := run(s, i, small); end > i {
		return end
	}
	return both
}

// capitals is the end of U+W* at byte i, or 0.
func capitals(s string, i int) int {
	if end := run(s, i, capital); end > i {
		return run(s, end, small)
	}
	return 0
}
