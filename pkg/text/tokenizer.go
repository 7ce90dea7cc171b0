package text

import (
	"slices"
	"sync"
)

// Tokenizer turns text into ids and ids into text. It does not change and may be used from many goroutines.
type Tokenizer struct {
	*tables
	split    Split
	encoders *sync.Pool // of *encoder
}

// tables are what the files say, made ready for encoding.
type tables struct {
	files      *Files
	pieces     []string       // by id; "" where an id has none
	contents   map[int32]bool // ids of added tokens: their piece is their text
	bytes      [256]int32     // ids of the single bytes
	joins      pairs
	raw        matcher // added tokens that are matched in the text as given
	normalized matcher // those that are matched after normalization
}

// Load reads vocab.json, merges.txt and tokenizer_config.json of a checkpoint folder, or tokenizer.json where there is no
// vocab.json. The split is Qwen2's, or the one that tokenizer.json asks for. An error names the file, with the line, piece
// or key that is wrong.
func Load(dir string) (*Tokenizer, error) {
	f, err := Read(dir)
	if err != nil {
		return nil, err
	}
	return New(f)
}

// New checks that the files fit together and makes a tokenizer of them.
func New(f *Files) (*Tokenizer, error) {
	t := &tables{files: f, contents: map[int32]bool{}}
	split := SplitQwen2
	var err error
	if f.single != nil {
		if split, err = f.single.split(f.path(singleFile)); err != nil {
			return nil, err
		}
	}
	for _, step := range []func() error{t.layPieces, t.layMerges, t.layAdded} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return newTokenizer(t, split), nil
}

func newTokenizer(t *tables, split Split) *Tokenizer {
	out := &Tokenizer{tables: t, split: split}
	out.encoders = &sync.Pool{New: func() any { return &encoder{tables: t, split: split, known: map[string][]int32{}} }}
	return out
}

// WithSplit is the same tokenizer with another split.
func (t *Tokenizer) WithSplit(split Split) *Tokenizer { return newTokenizer(t.tables, split) }

// Split is how the tokenizer cuts text into words.
func (t *Tokenizer) Split() Split { return t.split }

// Size is the highest id plus one, added tokens included. An embedding may have more rows.
func (t *Tokenizer) Size() int { return len(t.pieces) }

// Piece is the spelling of an id in the vocabulary, where a space is "Ġ" and a line break "Ċ", or the text of an added
// token; "" for an id that has neither. Decode gives the text that it stands for.
func (t *Tokenizer) Piece(id int32) string {
	if id < 0 || int(id) >= len(t.pieces) {
		return ""
	}
	return t.pieces[id]
}

// ID is the id of a piece in the spelling of Piece, or of an added token.
func (t *Tokenizer) ID(piece string) (id int32, ok bool) {
	if id, ok = t.files.Pieces[piece]; ok {
		return id, true
	}
	for id := range t.files.Added { // a few dozen
		if t.files.Added[id].Content == piece {
			return id, true
		}
	}
	return 0, false
}

// IsAdded tells whether an id is that of an added token.
func (t *Tokenizer) IsAdded(id int32) bool { return t.contents[id] }

// Merges are the merges in order of rank; the list is the caller's.
func (t *Tokenizer) Merges() []Merge { return slices.Clone(t.files.Merges) }

// Decode is the text of ids, piece by piece, added tokens as they are written: the text of two lists in a row is the text
// of the one behind that of the other. Ids that end within a character give bytes that are no UTF-8 yet
// (strings.ToValidUTF8 makes them fit for show). An id without a token becomes U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string {
	var out []byte
	for _, id := range ids {
		switch piece := t.Piece(id); {
		case piece == "":
			out = append(out, "\uFFFD"...)
		case t.contents[id]:
			out = append(out, piece...)
		default:
			out = appendMeaning(out, piece)
		}
	}
	return string(out)
}
