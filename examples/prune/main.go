// Prune leaves out of a checkpoint the rows of the text embedding that a corpus does not need.
//
//	go run ./examples/prune -model DIR -texts texts.jsonl -out DIR2
//
// The corpus is JSON lines with a "text" each, as examples/prepare reads them ("instruct" counts too). Kept are the tokens
// of its texts, every token that begins with a space, the control tokens and the single bytes. What the corpus says is
// spoken as before; any other text is spoken too, in more tokens where it needs some that are gone. The checkpoint may be
// float, a fake-quantized student or packed; -parts names the folder of its tokenizer where it has none.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/text"
	"github.com/qakd/qakd/pkg/tts"
)

type options struct {
	model, parts, texts, out string
	json                     bool
}

func main() {
	fs := flag.NewFlagSet("prune", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.model, "model", "", "`folder` of the checkpoint (required)")
	fs.StringVar(&o.parts, "parts", "", "`folder` of the tokenizer, where the checkpoint has none")
	fs.StringVar(&o.texts, "texts", "", "`file` of JSON lines with the texts that must be spoken as before (required)")
	fs.StringVar(&o.out, "out", "", "`folder` to write (required)")
	fs.BoolVar(&o.json, "json", false, "print JSON")
	os.Exit(experiment.Main(fs, os.Args[1:], func(context.Context) error { return run(os.Stdout, o) }))
}

func run(w io.Writer, o options) error {
	if o.model == "" || o.texts == "" || o.out == "" {
		return experiment.Usagef("-model %q, -texts %q and -out %q, want all three", o.model, o.texts, o.out)
	}
	tok, err := text.Load(o.model)
	if errors.Is(err, text.ErrNone) && o.parts != "" {
		tok, err = text.Load(o.parts)
	}
	if err != nil {
		return err
	}
	selection := tok.Select()
	if err := read(o.texts, selection.Add); err != nil {
		return err
	}
	res, err := tts.Prune(o.out, o.model, selection.IDs())
	if err != nil {
		return err
	}
	if o.json {
		return report.JSON(w, res)
	}
	_, err = fmt.Fprintf(w, "%s: %d of %d text ids are kept, %d bytes of their table instead of %d\n",
		o.out, res.Kept, res.Vocabulary, res.After, res.Before)
	return err
}

// read gives the texts of a file to add.
func read(path string, add func(string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var line struct{ Text, Instruct string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if line.Text == "" {
			return fmt.Errorf(`%s:%d: no "text", want the words that are spoken`, path, n)
		}
		add(line.Text)
		if line.Instruct != "" {
			add(line.Instruct)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
