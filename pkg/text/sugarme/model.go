package sugarme

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/pretokenizer"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/text"
)

// New is a tokenizer with all parts of this package, and the module's byte-level decoder.
func New(t *text.Tokenizer) *tokenizer.Tokenizer {
	out := tokenizer.NewTokenizer(Model{t})
	out.WithNormalizer(Normalizer{t})
	out.WithPreTokenizer(PreTokenizer{t})
	out.WithDecoder(pretokenizer.NewByteLevel())
	return out
}

// Model turns one word into tokens.
type Model struct{ Tokenizer *text.Tokenizer }

var _ tokenizer.Model = Model{}

// Tokenize merges the bytes of a word that PreTokenizer cut. Offsets are bytes of the word and may lie within a character.
func (m Model) Tokenize(word string) ([]tokenizer.Token, error) {
	var out []tokenizer.Token
	start := 0
	for _, id := range m.Tokenizer.Join(word) {
		end := start + len(m.Tokenizer.Decode([]int32{id}))
		out = append(out, tokenizer.NewToken(int(id), m.Tokenizer.Piece(id), []int{start, end}))
		start = end
	}
	return out, nil
}

// TokenToId is the id of a piece or of an added token.
func (m Model) TokenToId(token string) (int, bool) {
	id, ok := m.Tokenizer.ID(token)
	return int(id), ok
}

// IdToToken is the piece of an id.
func (m Model) IdToToken(id int) (string, bool) {
	if id < 0 || id >= m.Tokenizer.Size() {
		return "", false
	}
	piece := m.Tokenizer.Piece(int32(id))
	return piece, piece != ""
}

// GetVocab is every piece and added token with its id; the map is the caller's.
func (m Model) GetVocab() map[string]int {
	out := make(map[string]int, m.Tokenizer.Size())
	for id := range m.Tokenizer.Size() {
		if piece := m.Tokenizer.Piece(int32(id)); piece != "" {
			out[piece] = id
		}
	}
	return out
}

// GetVocabSize is the highest id plus one, so that tokens that the module adds get ids behind all others.
func (m Model) GetVocabSize() int { return m.Tokenizer.Size() }

// Save writes vocab.json and merges.txt to a folder that exists, as PREFIX-vocab.json and PREFIX-merges.txt if there is a
// prefix. Added tokens are no part of these files.
func (m Model) Save(dir string, prefix ...string) error {
	name := func(file string) string {
		if len(prefix) > 0 && prefix[0] != "" {
			file = prefix[0] + "-" + file
		}
		return filepath.Join(dir, file)
	}
	vocab := map[string]int{}
	for id := range m.Tokenizer.Size() {
		if piece := m.Tokenizer.Piece(int32(id)); piece != "" && !m.Tokenizer.IsAdded(int32(id)) {
			vocab[piece] = id
		}
	}
	err := fsx.Write(name("vocab.json"), func(w io.Writer) error { return json.NewEncoder(w).Encode(vocab) })
	if err != nil {
		return err
	}
	return fsx.Write(name("merges.txt"), func(w io.Writer) error {
		b := bufio.NewWriter(w)
		for _, x := range m.Tokenizer.Merges() {
			if _, err := fmt.Fprintf(b, "%s %s\n", x.Left, x.Right); err != nil {
				return err
			}
		}
		return b.Flush()
	})
}
