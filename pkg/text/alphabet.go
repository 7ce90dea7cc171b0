package text

// Vocabulary files spell each byte as one printable character: the printable bytes of Latin-1 as themselves, the other 68
// in increasing order as U+0100, U+0101, …: a space is "Ġ", a line break "Ċ". GPT-2 introduced this alphabet.

// spelling is the character of a byte, meaning the byte of such a character or -1.
var spelling, meaning = alphabet()

func alphabet() (spelling [256]rune, meaning [256 + 68]int16) {
	for i := range meaning {
		meaning[i] = -1
	}
	next := rune(256)
	for b := range spelling {
		c := rune(b)
		if printable := b >= 33 && b <= 126 || b >= 161 && b != 173; !printable {
			c, next = next, next+1
		}
		spelling[b], meaning[c] = c, int16(b)
	}
	return spelling, meaning
}

// appendMeaning appends the bytes that a piece stands for. A piece with a character that is not in the alphabet stands for
// itself.
func appendMeaning(dst []byte, piece string) []byte {
	start := len(dst)
	for _, c := range piece {
		if int(c) >= len(meaning) || meaning[c] < 0 {
			return append(dst[:start], piece...)
		}
		dst = append(dst, byte(meaning[c]))
	}
	return dst
}
