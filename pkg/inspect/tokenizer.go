package inspect

import (
	"errors"
	"maps"
	"slices"

	"github.com/qakd/qakd/pkg/text"
)

// readTokenizer reads the files of the text tokenizer without holding them against each other, which the view does itself.
// It is nil where there are none: a talker needs no tokenizer.
func readTokenizer(dir string) (*text.Files, error) {
	f, err := text.Read(dir)
	if errors.Is(err, text.ErrNone) {
		return nil, nil
	}
	return f, err
}

// tokens are all tokens by id; the second list has the ids that two of them claim, in order.
func tokens(f *text.Files) (byID map[int64]string, clashes []int64) {
	byID = make(map[int64]string, len(f.Pieces)+len(f.Added))
	twice := map[int64]bool{}
	for piece, id := range f.Pieces {
		if _, taken := byID[int64(id)]; taken {
			twice[int64(id)] = true
		}
		byID[int64(id)] = piece
	}
	for id, added := range f.Added {
		if piece, taken := byID[int64(id)]; taken && piece != added.Content { // an added token may stand in vocab.json too
			twice[int64(id)] = true
		}
		byID[int64(id)] = added.Content
	}
	return byID, slices.Sorted(maps.Keys(twice))
}
