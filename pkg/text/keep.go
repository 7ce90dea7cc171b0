package text

import (
	"fmt"
	"slices"
	"strings"
)

// A pruned vocabulary has embedding rows for some of the pieces only. Encoding then must not make any other: a merge whose
// product is not kept is left out, and its parts stay apart, so every text can still be spoken, in more pieces. A word all
// of whose pieces are kept is encoded as with the whole vocabulary, if the pieces were selected by Selection: the merge of
// lowest rank is left in at every step, as all that is made on the way to a kept piece is kept as well.

// Keep is the same tokenizer, with the same ids, that encodes with the kept ones only. They ascend; the 256 bytes and all
// added tokens must be among them. Decode and Piece still know all ids.
func (t *Tokenizer) Keep(ids []int32) (*Tokenizer, error) {
	kept := make([]bool, len(t.pieces))
	for i, id := range ids {
		switch {
		case i > 0 && id <= ids[i-1]:
			return nil, fmt.Errorf("text: %s: kept id %d behind %d, want ascending ones", t.files.Dir, id, ids[i-1])
		case t.Piece(id) == "":
			return nil, fmt.Errorf("text: %s: kept id %d is no token, want those of the %d", t.files.Dir, id, len(t.pieces))
		}
		kept[id] = true
	}
	for b, id := range t.bytes {
		if !kept[id] {
			return nil, fmt.Errorf("text: %s: token %d, byte 0x%02X, is not kept, want all single bytes: any text must have tokens", t.files.Dir, id, b)
		}
	}
	for id := range t.contents {
		if !kept[id] {
			return nil, fmt.Errorf("text: %s: added token %d %q is not kept, want all of them", t.files.Dir, id, clip(t.pieces[id]))
		}
	}
	out, files := *t.tables, *t.files
	files.Merges = nil
	for _, m := range t.files.Merges {
		if kept[files.Pieces[m.Left+m.Right]] {
			files.Merges = append(files.Merges, m)
		}
	}
	out.files = &files
	if err := out.layMerges(); err != nil {
		return nil, err
	}
	return newTokenizer(&out, t.split), nil
}

// Missing is an error that names the first token of ids that is not among kept, which ascend; nil if there is none.
func (t *Tokenizer) Missing(ids, kept []int32) error {
	for i, id := range ids {
		if _, ok := slices.BinarySearch(kept, id); !ok {
			return fmt.Errorf("text: token %d of the text, id %d %q, is not in the pruned vocabulary of %d tokens", i, id, clip(t.Decode([]int32{id})), len(kept))
		}
	}
	return nil
}

// Selection chooses the tokens of a pruned vocabulary. It begins with what must never be lost: the single bytes, the added
// tokens, the words of the prompts' frames, and every piece that begins with a space.
type Selection struct {
	t    *Tokenizer
	keep []bool
	ids  []int32 // working memory
}

// Select begins a selection.
func (t *Tokenizer) Select() *Selection {
	s := &Selection{t: t, keep: make([]bool, len(t.pieces))}
	for _, id := range t.bytes {
		s.keep[id] = true
	}
	for id := range t.contents {
		s.keep[id] = true
	}
	space := string(spelling[' '])
	for id, piece := range t.pieces {
		if strings.HasPrefix(piece, space) {
			s.keep[id] = true
		}
	}
	s.add(roleOpen + turnEnd + userOpen)
	return s
}

// Add takes in the tokens of a text, as it stands in each kind of prompt and alone.
func (s *Selection) Add(text string) {
	s.add(text)
	s.add(roleOpen + text + turnEnd)
	s.add(userOpen + text + turnEnd)
}

func (s *Selection) add(text string) {
	s.ids = s.t.Append(s.ids[:0], text)
	for _, id := range s.ids {
		s.keep[id] = true
	}
}

// IDs are the selected tokens and all pieces that they are merged from, in ascending order.
func (s *Selection) IDs() []int32 {
	pieces := s.t.files.Pieces
	parts := map[int32][]Merge{} // by product
	for _, m := range s.t.files.Merges {
		id := pieces[m.Left+m.Right]
		parts[id] = append(parts[id], m)
	}
	var all, left []int32
	keep := slices.Clone(s.keep)
	for id := range keep {
		if keep[id] {
			left = append(left, int32(id))
		}
	}
	for len(left) > 0 {
		id := left[len(left)-1]
		left, all = left[:len(left)-1], append(all, id)
		for _, m := range parts[id] {
			for _, part := range []int32{pieces[m.Left], pieces[m.Right]} {
				if !keep[part] {
					keep[part], left = true, append(left, part)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}
