package sugarme

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/normalizer"

	"github.com/qakd/qakd/pkg/text"
)

// PreTokenizer cuts out added tokens, normalizes the rest and cuts it into words.
type PreTokenizer struct{ Tokenizer *text.Tokenizer }

var _ tokenizer.PreTokenizer = PreTokenizer{}

// errUTF8 is for text that the module would read past the end of.
var errUTF8 = errors.New("sugarme: the text is no UTF-8")

// PreTokenize splits what has no tokens yet. It uses the module's Split only, as its Normalize loses what has some.
func (p PreTokenizer) PreTokenize(pt *tokenizer.PreTokenizedString) (*tokenizer.PreTokenizedString, error) {
	var failed error
	out := pt.Split(func(_ int, s *normalizer.NormalizedString) []tokenizer.SplitIdx {
		parts, err := p.split(s)
		if err != nil && failed == nil {
			failed = err
		}
		return parts
	})
	if failed != nil {
		return nil, failed
	}
	return out, nil
}

func (p PreTokenizer) split(s *normalizer.NormalizedString) ([]tokenizer.SplitIdx, error) {
	if !utf8.ValidString(s.GetNormalized()) {
		return nil, errUTF8
	}
	var out []tokenizer.SplitIdx
	for _, part := range p.Tokenizer.Cut(s.GetNormalized()) {
		section, err := slice(s, part)
		if err != nil {
			return nil, err
		}
		if part.ID >= 0 {
			out = append(out, p.added(section, part.ID))
			continue
		}
		section = compose(section)
		for _, word := range p.Tokenizer.Words(section.GetNormalized()) {
			w, err := slice(section, word)
			if err != nil {
				return nil, err
			}
			if word.ID >= 0 {
				out = append(out, p.added(w, word.ID))
			} else {
				out = append(out, tokenizer.SplitIdx{Normalized: w})
			}
		}
	}
	return out, nil
}

// added is a part that is a token already.
func (p PreTokenizer) added(s *normalizer.NormalizedString, id int32) tokenizer.SplitIdx {
	tok := tokenizer.NewToken(int(id), p.Tokenizer.Piece(id), []int{0, len(s.GetNormalized())})
	return tokenizer.SplitIdx{Normalized: s, Tokens: []tokenizer.Token{tok}}
}

// slice is a part of a string with its alignment.
func slice(s *normalizer.NormalizedString, p text.Part) (*normalizer.NormalizedString, error) {
	out := s.Slice(normalizer.NewRange(p.Start, p.End, normalizer.NormalizedTarget))
	if out == nil {
		return nil, fmt.Errorf("sugarme: bytes %d to %d of %q cannot be cut out", p.Start, p.End, s.GetNormalized())
	}
	return out, nil
}
