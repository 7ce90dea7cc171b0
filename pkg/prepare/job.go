package prepare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/track"
)

// Maker turns rows into utterances.
type Maker interface {
	// Check completes a row as far as that needs no batch. An error says why the row cannot be used.
	Check(row *data.Utterance) error
	// Make gives checked rows their codes, as one batch. skip[i] says why row i cannot be used after all; err ends the work.
	Make(ctx context.Context, rows []data.Utterance) (skip []error, err error)
	// Identity is everything that decides the result beside the rows: a run that goes on must have the same.
	Identity() (string, error)
}

// Job prepares a file.
type Job struct {
	In     string        // JSONL of rows: audio and text, or text alone; see package data for the keys
	Out    string        // JSONL of utterances; appears when all rows are done
	Batch  int           // rows of a batch
	Resume bool          // go on with what an interrupted run left
	Frame  time.Duration // how long a frame lasts, for the summary
	Maker  Maker
	Track  track.Tracker
}

// Skip is a row that was not used.
type Skip struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Run prepares all rows. A file without rows is an error, and so is one of which no row can be used. After an error or an
// interruption, what was made is kept beside Out, if anything was.
func (j Job) Run(ctx context.Context) (*Summary, error) {
	if j.Batch < 1 {
		return nil, fmt.Errorf("prepare: batch is %d, want at least 1", j.Batch)
	}
	rows, err := readRows(j.In)
	if err != nil {
		return nil, err
	}
	p, err := j.open()
	if err != nil {
		return nil, err
	}
	defer p.close()
	if err := j.Track.Start(int64(p.rows), int64(len(rows))); err != nil {
		return nil, err
	}
	err = j.batches(ctx, p, rows)
	if err := errors.Join(err, j.Track.Close()); err != nil {
		return nil, err
	}
	s := summarize(p.frames, p.skipped, j.Frame)
	if len(p.frames) == 0 {
		return s, fmt.Errorf("prepare: %s: none of %d rows can be used; the first: %s: %s", j.In, len(rows), p.skipped[0].ID, p.skipped[0].Reason)
	}
	return s, p.publish(j.Out)
}

// batches completes the rows that are left. Batches are whole ones but for the last: rows that are skipped at once do not
// count, so that an interruption changes no batch.
func (j Job) batches(ctx context.Context, p *partial, rows []data.Utterance) error {
	for p.rows < len(rows) {
		if err := ctx.Err(); err != nil {
			return p.interrupted(err, len(rows))
		}
		var b batch
		at := p.rows
		for ; at < len(rows) && len(b.rows) < j.Batch; at++ {
			row := rows[at]
			if err := j.Maker.Check(&row); err != nil {
				b.skip(row, err)
				continue
			}
			b.rows = append(b.rows, row)
		}
		if len(b.rows) > 0 {
			skip, err := j.Maker.Make(ctx, b.rows)
			if err != nil && ctx.Err() != nil {
				return p.interrupted(err, len(rows))
			}
			if err != nil {
				return err
			}
			b.sort(skip)
		}
		if err := p.add(at, b); err != nil {
			return err
		}
		if err := j.Track.Step(track.Step{Step: int64(at), Tokens: b.frames(), Values: p.values()}); err != nil {
			return err
		}
	}
	return nil
}

// batch is the rows between two marks.
type batch struct {
	rows    []data.Utterance
	skipped []Skip
}

func (b *batch) skip(row data.Utterance, why error) {
	b.skipped = append(b.skipped, Skip{row.ID, why.Error()})
}

// sort takes the rows out that could not be made.
func (b *batch) sort(skip []error) {
	var kept []data.Utterance
	for i, row := range b.rows {
		if skip[i] != nil {
			b.skip(row, skip[i])
		} else {
			kept = append(kept, row)
		}
	}
	b.rows = kept
}

func (b *batch) frames() (n int64) {
	for _, u := range b.rows {
		n += int64(u.Frames())
	}
	return n
}

func readRows(path string) ([]data.Utterance, error) {
	r, err := data.OpenJSONL(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	r.Raw = true
	return data.ReadAll(r)
}
