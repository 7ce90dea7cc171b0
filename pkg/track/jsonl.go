package track

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/qakd/qakd/internal/fsx"
)

// JSONL writes one JSON object per step:
//
//	{"step":12,"tokens":812,"seconds":3.214,"loss":0.41,"kl":0.4}
//
// Every line goes to the file at once, so a killed run keeps all finished
// steps. seconds counts training time, over resumes too. A NaN or an infinity,
// which JSON cannot say, is null. Notes are not recorded.
type JSONL struct {
	path   string
	f      *os.File
	before float64 // seconds of the sessions before this one
	start  time.Time
	now    func() time.Time
}

// NewJSONL returns a tracker that writes path; Start opens it.
func NewJSONL(path string) *JSONL { return &JSONL{path: path, now: time.Now} }

// Start opens the file. With done = 0 it is new; after a resume the lines up
// to step done stay and later ones, which the resumed run will write again,
// are cut off, as is a last line that a crash left unfinished.
func (j *JSONL) Start(done, _ int64) error {
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fsx.Explain("open", j.path, err)
	}
	keep, seconds, err := j.kept(f, done)
	if err == nil {
		err = f.Truncate(keep)
	}
	if err == nil {
		_, err = f.Seek(keep, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("track: resume %s: %w", j.path, err), f.Close())
	}
	j.f, j.before, j.start = f, seconds, j.now()
	return nil
}

// kept returns how many bytes of the file hold steps up to done, and the
// seconds of the last of them.
func (j *JSONL) kept(f io.Reader, done int64) (keep int64, seconds float64, err error) {
	if done == 0 {
		return 0, 0, nil
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return 0, 0, err
	}
	for n := 1; ; n++ {
		end := bytes.IndexByte(data[keep:], '\n')
		if end < 0 {
			return keep, seconds, nil // nothing left, or an unfinished line
		}
		var line struct {
			Step    *int64
			Seconds float64
		}
		if err := json.Unmarshal(data[keep:keep+int64(end)], &line); err != nil || line.Step == nil {
			return 0, 0, fmt.Errorf("line %d is not a metrics line", n)
		}
		if *line.Step > done {
			return keep, seconds, nil
		}
		keep, seconds = keep+int64(end)+1, line.Seconds
	}
}

// Step appends one line.
func (j *JSONL) Step(s Step) error {
	if j.f == nil {
		return fmt.Errorf("track: %s: Step before Start or after Close", j.path)
	}
	b := fmt.Appendf(nil, `{"step":%d,"tokens":%d,"seconds":%.3f`, s.Step, s.Tokens, j.before+j.now().Sub(j.start).Seconds())
	seen := map[string]bool{"step": true, "tokens": true, "seconds": true}
	for _, v := range s.Values {
		if seen[v.Name] {
			return fmt.Errorf("track: step %d: two values named %q", s.Step, v.Name)
		}
		seen[v.Name] = true
		name, err := json.Marshal(v.Name)
		if err != nil {
			return fmt.Errorf("track: value %q: %w", v.Name, err)
		}
		b = append(append(append(b, ','), name...), ':')
		if math.IsNaN(v.V) || math.IsInf(v.V, 0) {
			b = append(b, "null"...)
			continue
		}
		b = strconv.AppendFloat(b, v.V, 'g', -1, 64)
	}
	_, err := j.f.Write(append(b, "}\n"...))
	return fsx.Explain("write", j.path, err)
}

// Note does nothing: the file holds numbers.
func (j *JSONL) Note(string) error { return nil }

// Close makes the file durable and closes it; a second call does nothing.
func (j *JSONL) Close() error {
	if j.f == nil {
		return nil
	}
	err := errors.Join(fsx.Explain("sync", j.path, j.f.Sync()), j.f.Close())
	j.f = nil
	return err
}
