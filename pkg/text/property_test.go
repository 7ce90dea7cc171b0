package text

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	_ "github.com/qakd/qakd/internal/testkit/fixedseed"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func loadSmall(t *testing.T) *Tokenizer {
	t.Helper()
	tok, err := Load("testdata/small")
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// texts are strings of what splits and merges distinguish, and of anything.
func texts() *rapid.Generator[string] {
	part := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("abtheANsxyz'SRE哈 \n\t\r\u00a01/!.é\u0301\u0327ſǅʰ"))),
		rapid.SampledFrom([]string{"<|im_start|>", "<|im_end|>", "<|im_", strings.Repeat("哈", 40), strings.Repeat("\u0301", 35), "\xff", "\xe5\x93"}))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "parts"), "") })
}

// naiveSplit follows the alternatives of SplitQwen2 or SplitCased letter by letter, on runes, with all the going back that
// a regular expression does.
func naiveSplit(split Split, s []rune) int {
	in := func(i int, tables ...*unicode.RangeTable) bool { return i < len(s) && unicode.In(s[i], tables...) }
	isBreak := func(i int) bool { return i < len(s) && (s[i] == '\r' || s[i] == '\n') }
	isSpace := func(i int) bool { return i < len(s) && unicode.IsSpace(s[i]) }
	isSymbol := func(i int) bool { return i < len(s) && !isSpace(i) && !in(i, unicode.L, unicode.N) }
	many := func(i int, ok func(int) bool) int {
		for ok(i) {
			i++
		}
		return i
	}
	starts := []int{0} // where a word can start, with one leading character first
	if len(s) > 0 && !isBreak(0) && !in(0, unicode.L, unicode.N) {
		starts = []int{1, 0}
	}
	if split == SplitQwen2 {
		for _, c := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
			if n := len(c); len(s) >= n && strings.EqualFold(string(s[:n]), c) {
				return n
			}
		}
		for _, at := range starts {
			if end := many(at, func(i int) bool { return in(i, unicode.L) }); end > at {
				return end
			}
		}
	} else {
		u := func(i int) bool { return in(i, unicode.Lu, unicode.Lt, unicode.Lm, unicode.Lo, unicode.M) }
		w := func(i int) bool { return in(i, unicode.Ll, unicode.Lm, unicode.Lo, unicode.M) }
		for _, at := range starts {
			for back := many(at, u); back >= at; back-- {
				if end := many(back, w); end > back {
					return end
				}
			}
		}
		for _, at := range starts {
			if end := many(at, u); end > at {
				return many(end, w)
			}
		}
	}
	if in(0, unicode.N) {
		return 1
	}
	for _, lead := range []int{1, 0} {
		if lead == 1 && (len(s) == 0 || s[0] != ' ') {
			continue
		}
		if end := many(lead, isSymbol); end > lead {
			return many(end, func(i int) bool { return isBreak(i) || split == SplitCased && i < len(s) && s[i] == '/' })
		}
	}
	blank := many(0, isSpace)
	for back := blank; back >= 0; back-- {
		if end := many(back, isBreak); end > back {
			return end
		}
	}
	for end := blank; end > 0; end-- {
		if end == len(s) || unicode.IsSpace(s[end]) {
			return end
		}
	}
	return blank
}

func TestSplitsAsWritten(t *testing.T) {
	old := rapid.OneOf(texts(), rapid.StringOf(rapid.RuneFrom([]rune("aAé中\u0301 \n/'1!sSʰǅ\t"))))
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Map(func(r rune) rune { // characters younger than package unicode have classes of their own here
			if classify16(r) != other {
				return -1
			}
			return r
		}, strings.ToValidUTF8(old.Draw(t, "s"), "?"))
		for _, split := range []Split{SplitQwen2, SplitCased} {
			for rest := s; rest != ""; {
				n := split.word(rest)
				if want := len(string([]rune(rest)[:naiveSplit(split, []rune(rest))])); n != want {
					t.Fatalf("%v: %q begins with %q, want %q", split, rest, rest[:n], rest[:want])
				}
				rest = rest[n:]
			}
		}
	})
}

// naiveJoin merges by the definition: the lowest rank, of equals the left-most, one at a time.
func naiveJoin(tok *Tokenizer, word string) []int32 {
	var ids []int32
	for i := range len(word) {
		ids = append(ids, tok.bytes[word[i]])
	}
	for {
		best, at := int32(none), -1
		for i := range len(ids) - 1 {
			if rank, _, ok := tok.joins.get(ids[i], ids[i+1]); ok && rank < best {
				best, at = rank, i
			}
		}
		if at < 0 {
			return ids
		}
		_, into, _ := tok.joins.get(ids[at], ids[at+1])
		ids = append(append(ids[:at:at], into), ids[at+2:]...)
	}
}

func TestMerges(t *testing.T) {
	tok := loadSmall(t)
	var m merger
	word := rapid.OneOf(texts(), rapid.StringOfN(rapid.RuneFrom([]rune("theinaro ")), 1, 300, -1))
	rapid.Check(t, func(t *rapid.T) {
		s := word.Draw(t, "word")
		if s == "" {
			return
		}
		want := naiveJoin(tok, s)
		for name, join := range map[string]func(*pairs){"short": m.joinShort, "long": m.joinLong} {
			m.ids = m.ids[:0]
			for i := range len(s) {
				m.ids = append(m.ids, tok.bytes[s[i]])
			}
			if join(&tok.joins); !slices.Equal(m.ids, want) {
				t.Fatalf("%s: %q: %v, want %v", name, s, m.ids, want)
			}
		}
	})
}

// TestRoundTrip: decoding gives what was encoded, normalized between added tokens; bytes that are no UTF-8 stay.
func TestRoundTrip(t *testing.T) {
	tok := loadSmall(t)
	rapid.Check(t, func(t *rapid.T) {
		s, split := texts().Draw(t, "s"), Split(rapid.IntRange(0, 1).Draw(t, "split"))
		var want, plain, words strings.Builder
		for _, p := range tok.Cut(s) {
			if p.ID >= 0 {
				want.WriteString(s[p.Start:p.End])
				continue
			}
			normal := Normalize(s[p.Start:p.End])
			want.WriteString(normal)
			plain.WriteString(normal)
			for _, w := range tok.WithSplit(split).Words(normal) {
				words.WriteString(normal[w.Start:w.End])
			}
		}
		ids := tok.WithSplit(split).Encode(s)
		if got := tok.Decode(ids); got != want.String() {
			t.Fatalf("%q: %q, want %q", s, got, want.String())
		}
		cut := rapid.IntRange(0, len(ids)).Draw(t, "cut")
		if got := tok.Decode(ids[:cut]) + tok.Decode(ids[cut:]); got != want.String() {
			t.Fatalf("%q in two parts: %q", s, got)
		}
		if words.String() != plain.String() {
			t.Fatalf("%q: the words are %q", s, words.String())
		}
	})
}

// TestNormalize: the slow way by the definition gives what golang.org/x/text does, and form C where that does not.
func TestNormalize(t *testing.T) {
	mark := rapid.RuneFrom([]rune("eaA\u0301\u0327\u0338\u0345\u0323가\u1100\u1161\u11a8\u212b\u0344\u0f73é"))
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringOfN(mark, 0, 20, -1), rapid.String()).Draw(t, "s")
		if marksInRow(s) > longestRun {
			return
		}
		if got, want := compose(s), norm.NFC.String(s); got != want {
			t.Fatalf("%+q: %+q, want %+q", s, got, want)
		}
	})
	for _, n := range []int{29, 30, 31, 100} {
		marks := strings.Repeat("\u0301", n)
		if got, want := Normalize("e"+marks+"\u0327"), "\u0229\u0301"+marks[2:]; got != want { // the cedilla moves to the front
			t.Errorf("%d marks: %+q, want %+q", n, got, want)
		}
	}
	if got := Normalize("e\u0301\xff\xc3e\u0301"); got != "é\xff\xc3é" {
		t.Errorf("stray bytes: %+q", got)
	}
}

func TestDecodeUnknown(t *testing.T) {
	if got := loadSmall(t).Decode([]int32{-1, 0, 703, 1 << 30}); got != "\uFFFD!\uFFFD\uFFFD" {
		t.Errorf("%q", got)
	}
}

// TestYoungCharacters: Unicode 16.0 has letters where package unicode has nothing yet.
func TestYoungCharacters(t *testing.T) {
	for s, want := range map[string]int{"a\U0001394Db": 6, ";\U0001394Db": 6, "a\U000113C5": 1, "\U00010D42\U00010D42": 4, "\U0002EE5D!": 4} {
		if got := SplitQwen2.word(s); got != want {
			t.Errorf("%+q begins with %d bytes, want %d", s, got, want)
		}
	}
}

// TestConcurrent: one tokenizer, many goroutines, more words than are remembered.
func TestConcurrent(t *testing.T) {
	tok := loadSmall(t)
	s := strings.Repeat("The windows are open, <|im_end|> aren't they? ", 20)
	want := tok.Encode(s)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				tok.Encode(strings.Repeat(string(rune('a'+g)), i+1))
				if !slices.Equal(tok.Encode(s), want) {
					t.Error("other ids from another goroutine")
				}
			}
		})
	}
	wg.Wait()
	e := &encoder{tables: tok.tables, known: map[string][]int32{}}
	for i := range mostWords + 10 {
		e.word(string([]byte{byte('a' + i%26), byte('a' + i/26%26), byte('a' + i/676%26), byte('a' + i/17576%26)}))
	}
	if len(e.known) > mostWords {
		t.Errorf("%d words are remembered, at most %d may be", len(e.known), mostWords)
	}
}

// TestNormalizedTokens: an added token that asks for it is found after normalization, one that does not before.
func TestNormalizedTokens(t *testing.T) {
	f, err := Read("testdata/small")
	if err != nil {
		t.Fatal(err)
	}
	f.Added[710] = Added{Content: "<café>", Normalized: true}
	f.Added[711] = Added{Content: "<caf"}
	f.Added[712] = Added{Content: "<cafe\u0301>x"}
	tok, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string][]int32{"<café>": {711}, "<cafe\u0301>x": {712}} {
		if got := tok.Encode(s); got[0] != want[0] {
			t.Errorf("%q: %v", s, got)
		}
	}
	delete(f.Added, 711)
	if tok, err = New(f); err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("<cafe\u0301>"); !slices.Equal(got, []int32{710}) || tok.Decode(got) != "<café>" {
		t.Errorf("%v", got)
	}
}
