package prepare

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/track"
)

// partial is the work so far, in a file beside the result: a line that says of what, then a line for each batch.
type partial struct {
	path    string
	work    work
	f       *os.File
	lock    *fsx.Lock
	begun   bool  // the file is this work's
	rows    int   // of the input that are done
	frames  []int // of each utterance
	skipped []Skip
}

// work is the first line: what is prepared, and with what.
type work struct {
	Input    string `json:"input_sha256"`
	Batch    int    `json:"batch"`
	Identity string `json:"identity"`
}

// mark is one batch. Done is the number of rows of the input up to its end.
type mark struct {
	Done       int    `json:"done"`
	Utterances string `json:"utterances"` // lines of the result
	Skipped    []Skip `json:"skipped"`
}

// open starts the work, or goes on with it.
func (j Job) open() (_ *partial, err error) {
	w := work{Batch: j.Batch}
	if w.Input, err = fsx.SHA256(j.In); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if w.Identity, err = j.Maker.Identity(); err != nil {
		return nil, err
	}
	p := &partial{path: j.Out + ".partial", work: w}
	if err := vacant(j.Out); err != nil { // before a file is made
		return nil, err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := p.claim(); err != nil {
		return nil, err
	}
	if err := vacant(j.Out); err != nil { // another process may have come first
		return nil, errors.Join(err, os.Remove(p.path))
	}
	return p, p.begin(j.Resume)
}

func vacant(out string) error {
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("prepare: %s is there already, want a path that is not", out)
	}
	return nil
}

// claim locks the file, or fails at once where another process has it.
func (p *partial) claim() (err error) {
	ctx, busy := context.WithCancel(context.Background())
	defer busy()
	if p.lock, err = fsx.LockFile(ctx, p.path, busy); ctx.Err() != nil {
		return fmt.Errorf("prepare: %s is in use by another process", p.path)
	}
	return err
}

// begin reads what is there and stands behind it.
func (p *partial) begin(resume bool) (err error) {
	if p.f, err = os.OpenFile(p.path, os.O_RDWR, 0); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	info, err := p.f.Stat()
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if info.Size() > 0 && !resume {
		return fmt.Errorf("prepare: %s holds what an earlier run made: -resume goes on with it, or remove it", p.path)
	}
	keep, err := p.each(func(m mark) error {
		list, err := data.ReadAll(data.NewReader(bytes.NewReader([]byte(m.Utterances)), p.path))
		if err != nil && !errors.Is(err, data.ErrEmpty) {
			return err
		}
		p.took(m.Done, batch{list, m.Skipped})
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.f.Truncate(keep); err != nil { // the rest is a line that an interruption cut
		return fmt.Errorf("prepare: %w", err)
	}
	if _, err := p.f.Seek(keep, io.SeekStart); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if p.begun = true; keep == 0 {
		return p.line(p.work)
	}
	return nil
}

// each shows the batches of the file, whose first line must be this work's, and returns the length of its whole lines.
func (p *partial) each(show func(mark) error) (length int64, err error) {
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("prepare: %w", err)
	}
	r := bufio.NewReaderSize(p.f, 1<<20)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return length, nil
		}
		if err == nil && n == 1 {
			err = p.work.agree(line)
		} else if err == nil {
			var m mark
			if err = json.Unmarshal(line, &m); err == nil {
				err = show(m)
			}
		}
		if err != nil {
			return 0, fmt.Errorf("prepare: %s:%d: %w", p.path, n, err)
		}
		length += int64(len(line))
	}
}

func (w work) agree(line []byte) error {
	var have work
	if err := json.Unmarshal(line, &have); err != nil {
		return err
	}
	for _, d := range []struct {
		what, advice string
		same         bool
	}{
		{"another input file", "", have.Input == w.Input},
		{fmt.Sprintf("batches of %d", have.Batch), fmt.Sprintf(", now %d", w.Batch), have.Batch == w.Batch},
		{"another checkpoint or other settings", "", have.Identity == w.Identity},
	} {
		if !d.same {
			return fmt.Errorf("was begun with %s%s: prepare as before, or remove it", d.what, d.advice)
		}
	}
	return nil
}

// add writes a batch, to the disk.
func (p *partial) add(done int, b batch) error {
	var text bytes.Buffer
	w := data.NewWriter(&text)
	for _, u := range b.rows {
		if err := w.Write(u); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := p.line(mark{done, text.String(), b.skipped}); err != nil {
		return err
	}
	p.took(done, b)
	return nil
}

func (p *partial) took(done int, b batch) {
	p.rows, p.skipped = done, append(p.skipped, b.skipped...)
	for _, u := range b.rows {
		p.frames = append(p.frames, u.Frames())
	}
}

func (p *partial) line(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if _, err := p.f.Write(append(line, '\n')); err != nil {
		return fsx.Explain("write", p.path, err)
	}
	if err := p.f.Sync(); err != nil {
		return fsx.Explain("write", p.path, err)
	}
	return nil
}

// publish writes the result and ends the work.
func (p *partial) publish(out string) error {
	err := fsx.Write(out, func(to io.Writer) error {
		_, err := p.each(func(m mark) error {
			_, err := io.WriteString(to, m.Utterances)
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	return os.Remove(p.path)
}

// values are for the progress.
func (p *partial) values() []track.Value {
	return []track.Value{{Name: "used", V: float64(len(p.frames))}, {Name: "skipped", V: float64(len(p.skipped))}}
}

// interrupted tells how to go on.
func (p *partial) interrupted(why error, rows int) error {
	if len(p.frames) == 0 {
		return fmt.Errorf("prepare: %w, before an utterance was made", why)
	}
	return fmt.Errorf("prepare: %w; -resume goes on after row %d of %d", why, p.rows, rows)
}

// close gives the file up. One without an utterance is removed: there is nothing to go on with, and it would stand in the
// way of the run that does it right.
func (p *partial) close() {
	if p.begun && len(p.frames) == 0 {
		os.Remove(p.path) // if it stays, the next run says so
	}
	if p.f != nil {
		p.f.Close() // what is in it has been synced
	}
	if p.lock != nil {
		p.lock.Release()
	}
}
