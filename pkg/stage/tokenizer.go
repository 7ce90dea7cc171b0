package stage

import (
	"sync"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/text"
)

// tokenizer is the one of a checkpoint folder, read when the first row has text without ids: most data come with ids.
type tokenizer func() (*text.Tokenizer, error)

func tokenizerOf(dir string) data.Tokenizer {
	return tokenizer(sync.OnceValues(func() (*text.Tokenizer, error) { return text.Load(dir) }))
}

// Body, Reference and Instruct are those of text.Tokenizer.
func (t tokenizer) Body(s string) ([]int32, error) { return t.with((*text.Tokenizer).Body, s) }

func (t tokenizer) Reference(s string) ([]int32, error) {
	return t.with((*text.Tokenizer).Reference, s)
}

func (t tokenizer) Instruct(s string) ([]int32, error) { return t.with((*text.Tokenizer).Instruct, s) }

func (t tokenizer) with(f func(*text.Tokenizer, string) ([]int32, error), s string) ([]int32, error) {
	loaded, err := t()
	if err != nil {
		return nil, err
	}
	return f(loaded, s)
}
