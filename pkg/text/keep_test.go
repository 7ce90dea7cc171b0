package text

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// all tells whether every id is among kept, which ascend.
func all(ids, kept []int32) bool {
	return !slices.ContainsFunc(ids, func(id int32) bool { _, ok := slices.BinarySearch(kept, id); return !ok })
}

// Any text has tokens in a pruned vocabulary, which are among the kept ones and stand for the same text; where those of
// the whole vocabulary are kept, they are the same; and the texts that it was selected for are among these.
func TestKeep(t *testing.T) {
	whole := loadSmall(t)
	fewer, apart := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		corpus := rapid.SliceOfN(texts(), 0, 4).Draw(t, "corpus")
		s := whole.Select()
		for _, c := range corpus {
			s.Add(c)
		}
		kept := s.IDs()
		pruned, err := whole.Keep(kept)
		if err != nil {
			t.Fatal(err)
		}
		if len(kept) < len(whole.files.Pieces)+len(whole.contents) {
			fewer++
		}
		for _, c := range corpus {
			if a, b := whole.Encode(c), pruned.Encode(c); !slices.Equal(a, b) {
				t.Fatalf("%q of the corpus is %v, was %v", c, b, a)
			}
		}
		other := texts().Draw(t, "text")
		a, b := whole.Encode(other), pruned.Encode(other)
		if !all(b, kept) {
			t.Fatalf("%q has %v, not all of them kept", other, b)
		}
		if whole.Decode(a) != pruned.Decode(b) || whole.Decode(b) != pruned.Decode(b) {
			t.Fatalf("%q becomes %q, was %q", other, pruned.Decode(b), whole.Decode(a))
		}
		switch {
		case !all(a, kept):
			apart++
			if slices.Equal(a, b) {
				t.Fatalf("%q has the tokens %v, of which some are not kept", other, b)
			}
		case !slices.Equal(a, b):
			t.Fatalf("%q is %v, was %v, all of them kept", other, b, a)
		}
		for id, piece := range whole.pieces { // space-prefixed ones are never lost
			if _, ok := slices.BinarySearch(kept, int32(id)); !ok && strings.HasPrefix(piece, "Ġ") {
				t.Fatalf("%q is lost", piece)
			}
		}
	})
	if fewer == 0 || apart == 0 {
		t.Errorf("%d prunings lost a token, %d texts came apart: the test proves nothing", fewer, apart)
	}
}

// A frame is as long as before, so prompts of the pruned vocabulary are.
func TestKeepFrames(t *testing.T) {
	whole, err := Load("../talker/testdata/tiny-f32/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	pruned, err := whole.Keep(whole.Select().IDs())
	if err != nil {
		t.Fatal(err)
	}
	const words = "你好世界 and the rest"
	a, errA := whole.Body(words)
	b, errB := pruned.Body(words)
	if errA != nil || errB != nil || whole.Decode(a) != pruned.Decode(b) || len(b) <= len(a) {
		t.Errorf("bodies %v, %v and %v, %v: want the same text in more tokens", a, errA, b, errB)
	}
	err = whole.Missing(a, whole.Select().IDs())
	if err == nil || !strings.Contains(err.Error(), `id 343 "你"`) || !strings.Contains(err.Error(), "not in the pruned vocabulary") {
		t.Errorf("error %v, want the name of the missing token", err)
	}
	if err := whole.Missing(b, whole.Select().IDs()); err != nil {
		t.Error(err)
	}
}

func TestKeepRefuses(t *testing.T) {
	whole := loadSmall(t)
	ids := whole.Select().IDs()
	without := func(id int32) []int32 {
		return slices.DeleteFunc(slices.Clone(ids), func(x int32) bool { return x == id })
	}
	added, _ := whole.ID("<|im_start|>")
	for want, ids := range map[string][]int32{
		"byte 0x41, is not kept":     without(whole.bytes['A']),
		`"<|im_start|>" is not kept`: without(added),
		"want ascending ones":        append(slices.Clone(ids), ids[0]),
		"is no token":                append(slices.Clone(ids), 1<<20),
	} {
		if _, err := whole.Keep(ids); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
