package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// Reader reads utterances from lines of JSON. It is a Source.
type Reader struct {
	// Tokenizer turns texts into ids where a row has text only. nil: such a row is an error.
	Tokenizer Tokenizer
	// Raw takes rows as they are written, for a program that completes them: texts stay texts, and codes may be missing.
	Raw bool

	name string
	r    *bufio.Reader
	c    io.Closer
	line int
	seen map[string]int // id -> line
}

// NewReader reads from r; name stands for the file in messages.
func NewReader(r io.Reader, name string) *Reader {
	return &Reader{name: name, r: bufio.NewReaderSize(r, 1<<16), seen: map[string]int{}}
}

// OpenJSONL opens a file of utterances. Close it when done.
func OpenJSONL(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	r := NewReader(f, path)
	r.c = f
	return r, nil
}

// Name is the file name used in messages.
func (r *Reader) Name() string { return r.name }

// Close closes a file opened by OpenJSONL.
func (r *Reader) Close() error {
	if r.c == nil {
		return nil
	}
	return r.c.Close()
}

// Next reads one utterance; blank lines are skipped. An error names file, line and key, the value found and the value
// expected. io.EOF follows the last line.
func (r *Reader) Next() (Utterance, error) {
	for {
		line, err := r.r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return Utterance{}, fmt.Errorf("data: %s: %w", r.name, err)
		}
		if len(line) == 0 {
			return Utterance{}, io.EOF
		}
		r.line++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		u, err := r.parse(line)
		if err != nil {
			return Utterance{}, fmt.Errorf("data: %s:%d: %w", r.name, r.line, err)
		}
		return u, nil
	}
}

func (r *Reader) parse(line []byte) (Utterance, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return Utterance{}, fmt.Errorf("not a JSON object: %w", err)
	}
	var u Utterance
	for _, key := range slices.Sorted(maps.Keys(fields)) { // sorted: the same error for the same line
		if err := u.set(key, fields[key]); err != nil {
			return Utterance{}, err
		}
	}
	if u.ID == "" {
		u.ID = fmt.Sprintf("%s:%d", r.name, r.line)
	}
	if first, dup := r.seen[u.ID]; dup {
		return Utterance{}, fmt.Errorf("key \"id\" is %q, already used in line %d, want a unique id", u.ID, first)
	}
	r.seen[u.ID] = r.line
	if r.Raw {
		return u, nil
	}
	if err := u.tokenize(r.Tokenizer); err != nil {
		return Utterance{}, err
	}
	return u, u.checkShape()
}

// Writer writes utterances as lines of JSON.
type Writer struct {
	w *bufio.Writer
}

// NewWriter writes to w; call Flush at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{w: bufio.NewWriter(w)} }

// Write appends one utterance. An utterance that a Reader would refuse is an error.
func (w *Writer) Write(u Utterance) error {
	if err := u.checkShape(); err != nil {
		return fmt.Errorf("data: utterance %q: %w", u.ID, err)
	}
	// Encode ends the line; text stays readable, whatever HTML makes of it.
	enc := json.NewEncoder(w.w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(rowOf(u)); err != nil {
		return fmt.Errorf("data: utterance %q: %w", u.ID, err)
	}
	return nil
}

// Flush writes what is buffered.
func (w *Writer) Flush() error {
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	return nil
}

// ReadFile reads a whole JSONL file; t may be nil where every row has its ids. A file without utterances is an error.
func ReadFile(path string, t Tokenizer) (List, error) {
	r, err := OpenJSONL(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	r.Tokenizer = t
	return ReadAll(r)
}
