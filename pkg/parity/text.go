package parity

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/text"
)

// textFile holds texts with their token ids; it is no list of tensors, and the manifest only mentions it.
const textFile = "tokenizer.json"

// textGolden is what textFile says.
type textGolden struct {
	Pieces int `json:"vocab_size"` // without added tokens
	Added  int `json:"added"`
	Cases  []struct {
		Text    string  `json:"text"`
		IDs     []int32 `json:"ids"`
		Cased   []int32 `json:"ids_local_dir_split"`
		Decoded string  `json:"decoded"`
	} `json:"cases"`
	Prompts map[string]struct {
		Template string  `json:"template"`
		Text     string  `json:"text"`
		IDs      []int32 `json:"ids"`
	} `json:"prompts"`
}

// checkText holds the checkpoint's text tokenizer against the golden ids, one check for each group of cases; there is false
// where the folder has none.
func (f *fixture) checkText() (checks []Check, there bool, err error) {
	var g textGolden
	if err := readJSON(f.path(textFile), &g); errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	tok, err := text.Load(f.checkpoint())
	if err != nil {
		c := Check{File: textFile, Name: "load"}
		c.fail(err.Error())
		return []Check{c}, true, nil
	}
	checks = append(checks, g.sizes(tok), g.encoded("ids", tok, false), g.encoded("ids_local_dir_split", tok.WithSplit(text.SplitCased), true), g.decoded(tok))
	for _, name := range sortedKeys(g.Prompts) {
		checks = append(checks, g.prompt(name, tok))
	}
	return checks, true, nil
}

func (g *textGolden) sizes(tok *text.Tokenizer) Check {
	c := Check{File: textFile, Name: "vocab_size", Pass: true}
	added := 0
	for id := range tok.Size() {
		if tok.IsAdded(int32(id)) {
			added++
		}
	}
	if pieces := tok.Size() - added; pieces != g.Pieces || added != g.Added {
		c.fail(fmt.Sprintf("%d pieces and %d added tokens, want %d and %d", pieces, added, g.Pieces, g.Added))
	}
	return c
}

// encoded checks the ids of every case.
func (g *textGolden) encoded(name string, tok *text.Tokenizer, cased bool) Check {
	c := Check{File: textFile, Name: name, Pass: len(g.Cases) > 0}
	for _, x := range g.Cases {
		want := x.IDs
		if cased {
			want = x.Cased
		}
		if got := tok.Encode(x.Text); !slices.Equal(got, want) {
			c.fail(fmt.Sprintf("ids of %q are %v, want %v", x.Text, got, want))
			break
		}
	}
	if len(g.Cases) == 0 {
		c.fail("no cases")
	}
	return c
}

func (g *textGolden) decoded(tok *text.Tokenizer) Check {
	c := Check{File: textFile, Name: "decoded", Pass: true}
	for _, x := range g.Cases {
		if got := tok.Decode(x.IDs); got != x.Decoded {
			c.fail(fmt.Sprintf("text of %v is %q, want %q", x.IDs, got, x.Decoded))
			break
		}
	}
	return c
}

// prompt checks a whole turn, and what the layouts take from it.
func (g *textGolden) prompt(name string, tok *text.Tokenizer) Check {
	c := Check{File: textFile, Name: "prompts." + name, Pass: true}
	p := g.Prompts[name]
	part, head, tail := tok.Body, 3, 5
	switch name {
	case "assistant":
	case "reference":
		part, tail = tok.Reference, 2
	case "instruct":
		part, head, tail = tok.Instruct, 0, 0
	default:
		c.fail("no such prompt is known")
		return c
	}
	whole := strings.Replace(p.Template, "{text}", p.Text, 1)
	if got := tok.Encode(whole); !slices.Equal(got, p.IDs) {
		c.fail(fmt.Sprintf("ids of %q are %v, want %v", whole, got, p.IDs))
		return c
	}
	got, err := part(p.Text)
	if err != nil {
		c.fail(err.Error())
	} else if len(p.IDs) < head+tail || !slices.Equal(got, p.IDs[head:len(p.IDs)-tail]) {
		c.fail(fmt.Sprintf("ids of %q in it are %v, want those of %v without %d and %d", p.Text, got, p.IDs, head, tail))
	}
	return c
}
