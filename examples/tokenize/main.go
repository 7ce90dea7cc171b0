// Tokenize shows how the tokenizer of a checkpoint takes a text apart.
//
//	go run ./examples/tokenize -model DIR Hello, world!
//	go run ./examples/tokenize -model DIR -text "<|im_start|>assistant"
//	echo '["Hello", "world"]' | go run ./examples/tokenize -model DIR -json
//
// It prints a table of ids, of pieces as the vocabulary spells them (a space is Ġ, a line break Ċ) and of the text that
// they stand for. With -json it reads an array of strings from standard input and prints an array of id arrays, nothing
// else. Without -model it takes the tokenizer of the built-in demo teacher.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/text"
)

type options struct {
	model, text, split string
	json               bool
}

func main() {
	fs := flag.NewFlagSet("tokenize", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.model, "model", "", "`folder` of a checkpoint, or of its tokenizer files alone (default the demo teacher)")
	fs.StringVar(&o.text, "text", "", "`text` to take apart; else the arguments are, with a space between them")
	fs.StringVar(&o.split, "split", "", "`split` into words: qwen2, or cased to compare with a reference that loaded a local folder (default the model's)")
	fs.BoolVar(&o.json, "json", false, "read a JSON array of strings from standard input, print a JSON array of id arrays")
	os.Exit(experiment.MainArgs(fs, os.Args[1:], func(_ context.Context, args []string) error {
		return run(os.Stdin, os.Stdout, o, args)
	}))
}

func run(r io.Reader, w io.Writer, o options, args []string) error {
	switch given := o.text != "" || len(args) > 0; {
	case o.json && given:
		return experiment.Usagef("-json reads its texts from standard input, there must be no other")
	case !o.json && !given:
		return experiment.Usagef("no text, want -text or arguments")
	case o.text != "" && len(args) > 0:
		return experiment.Usagef("-text and argument %q, want one of them", args[0])
	}
	tok, err := load(o)
	if err != nil {
		return err
	}
	if o.json {
		return convert(r, w, tok)
	}
	if o.text == "" {
		o.text = strings.Join(args, " ")
	}
	return table(tok, o.text).Text(w)
}

func load(o options) (*text.Tokenizer, error) {
	splits := map[string]text.Split{text.SplitQwen2.String(): text.SplitQwen2, text.SplitCased.String(): text.SplitCased}
	split, known := splits[o.split]
	if !known && o.split != "" {
		return nil, experiment.Usagef("-split is %q, want qwen2 or cased", o.split)
	}
	if o.model == "" {
		dir, err := demo.TeacherDir()
		if err != nil {
			return nil, err
		}
		o.model = dir
	}
	tok, err := text.Load(o.model)
	if err != nil || !known {
		return tok, err
	}
	return tok.WithSplit(split), nil
}

// table has a row for each token.
func table(tok *text.Tokenizer, s string) *report.Table {
	ids := tok.Encode(s)
	t := &report.Table{Title: fmt.Sprintf("%d tokens, %d bytes", len(ids), len(s)), Columns: []string{"token", "id", "piece", "text", "kind"}}
	for i, id := range ids {
		kind := ""
		if tok.IsAdded(id) {
			kind = "added"
		}
		t.Add(i, id, tok.Piece(id), strconv.Quote(tok.Decode([]int32{id})), kind)
	}
	return t
}

// convert answers an array of texts by an array of id arrays, in one write.
func convert(r io.Reader, w io.Writer, tok *text.Tokenizer) error {
	texts, err := read(r)
	if err != nil {
		return err
	}
	ids := make([][]int32, len(texts))
	for i, s := range texts {
		if s == nil {
			return fmt.Errorf("standard input: text %d is null, want a string", i)
		}
		ids[i] = tok.Append([]int32{}, *s)
	}
	out, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	_, err = w.Write(append(out, '\n'))
	return err
}

func read(r io.Reader) ([]*string, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("standard input is empty, want a JSON array of strings")
	}
	if !utf8.Valid(data) { // encoding/json would put U+FFFD there and say nothing
		return nil, errors.New("standard input is no UTF-8, want a JSON array of strings")
	}
	var texts []*string
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fmt.Errorf("standard input: %w, want a JSON array of strings", err)
	}
	if texts == nil {
		return nil, errors.New("standard input is null, want a JSON array of strings")
	}
	return texts, nil
}
