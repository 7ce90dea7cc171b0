package text

import (
	"fmt"
	"maps"
	"slices"
)

// vocab and merges are the paths that errors about pieces and merges name.
func (t *tables) vocab() string {
	if t.files.single != nil {
		return t.files.path(singleFile) + ": model.vocab"
	}
	return t.files.path(vocabFile)
}

func (t *tables) merge(m Merge) string {
	if t.files.single != nil {
		return fmt.Sprintf("%s: model.merges[%d]", t.files.path(singleFile), m.Line)
	}
	return fmt.Sprintf("%s:%d", t.files.path(mergesFile), m.Line)
}

// layPieces orders the pieces by id and finds those of the single bytes.
func (t *tables) layPieces() error {
	pieces := t.files.Pieces
	if len(pieces) == 0 {
		return fmt.Errorf("text: %s: no pieces, want at least those of the 256 bytes", t.vocab())
	}
	size := int32(0)
	for _, id := range pieces {
		size = max(size, id+1)
	}
	t.pieces = make([]string, size)
	taken := make([]bool, size)
	for piece, id := range pieces {
		if taken[id] {
			return fmt.Errorf("text: %s: id %d is both %q and %q", t.vocab(), id, clip(min(piece, t.pieces[id])), clip(max(piece, t.pieces[id])))
		}
		if piece == "" {
			return fmt.Errorf("text: %s: the piece of id %d is empty", t.vocab(), id)
		}
		t.pieces[id], taken[id] = piece, true
	}
	for b, c := range spelling {
		id, ok := pieces[string(c)]
		if !ok {
			return fmt.Errorf("text: %s: no piece %q, which stands for byte 0x%02X: not a byte-level vocabulary", t.vocab(), string(c), b)
		}
		t.bytes[b] = id
	}
	return nil
}

// layMerges looks the merges up.
func (t *tables) layMerges() error {
	f := t.files
	if len(f.Merges) == 0 && len(f.Pieces) > len(spelling) {
		file := mergesFile
		if f.single != nil {
			file = singleFile
		}
		return fmt.Errorf("text: %s: no merges, but %d pieces of %s are more than single bytes", f.path(file), len(f.Pieces)-len(spelling), t.vocab())
	}
	t.joins = newPairs(len(f.Merges))
	for rank, m := range f.Merges {
		var ids [3]int32
		for i, piece := range []string{m.Left, m.Right, m.Left + m.Right} {
			id, ok := f.Pieces[piece]
			if !ok {
				return fmt.Errorf("text: %s: merge of %q and %q: %s has no piece %q", t.merge(m), clip(m.Left), clip(m.Right), t.vocab(), clip(piece))
			}
			ids[i] = id
		}
		if first, _, twice := t.joins.get(ids[0], ids[1]); twice {
			return fmt.Errorf("text: %s: merge of %q and %q stands at %s already", t.merge(m), clip(m.Left), clip(m.Right), t.merge(f.Merges[first]))
		}
		t.joins.put(ids[0], ids[1], int32(rank), ids[2])
	}
	return nil
}

// layAdded adds the added tokens; one may stand among the pieces too, under the same id.
func (t *tables) layAdded() error {
	f := t.files
	path := f.path(configFile) + ": added_tokens_decoder"
	if f.single != nil {
		path = f.path(singleFile) + ": added_tokens"
	} else if !slices.Contains(f.Names, configFile) {
		return fmt.Errorf("text: %s is missing, which lists the added tokens", f.path(configFile))
	}
	owner := map[string]int32{}
	for _, id := range slices.Sorted(maps.Keys(f.Added)) {
		a := f.Added[id]
		if a.Content == "" {
			return fmt.Errorf("text: %s: token %d has no content", path, id)
		}
		if a.LStrip || a.RStrip || a.SingleWord {
			return fmt.Errorf("text: %s: token %d %q has lstrip, rstrip or single_word set, which Qwen2's have not", path, id, clip(a.Content))
		}
		if twin, ok := owner[a.Content]; ok {
			return fmt.Errorf("text: %s: %q is both %d and %d", path, clip(a.Content), twin, id)
		}
		owner[a.Content] = id
		if int(id) >= len(t.pieces) {
			t.pieces = append(t.pieces, make([]string, int(id)+1-len(t.pieces))...)
		}
		if piece := t.pieces[id]; piece != "" && piece != a.Content {
			return fmt.Errorf("text: %s: id %d is %q, but %q in %s", path, id, clip(a.Content), clip(piece), t.vocab())
		}
		if other, ok := f.Pieces[a.Content]; ok && other != id {
			return fmt.Errorf("text: %s: %q is %d, but %d in %s", path, clip(a.Content), id, other, t.vocab())
		}
		t.pieces[id], t.contents[id] = a.Content, true
		if a.Normalized {
			t.normalized.add(token{Normalize(a.Content), id})
		} else {
			t.raw.add(token{a.Content, id})
		}
	}
	return nil
}
