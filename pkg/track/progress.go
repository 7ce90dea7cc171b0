package track

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// NewProgress shows a run on w: a live bar when w is a terminal, else a plain
// line at the first, the last and every every-th step. Both show the step, the
// values, steps and tokens per second, and the time left.
func NewProgress(w io.Writer, name string, every int64) Tracker {
	m := meter{name: name, now: time.Now}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &bar{meter: m, opts: []mpb.ContainerOption{mpb.WithOutput(w)}}
	}
	return &lines{meter: m, w: w, every: max(1, every)}
}

// meter measures the speed of a run.
type meter struct {
	name        string
	done, total int64
	last        time.Time
	now         func() time.Time
	perStep     float64 // seconds, smoothed
	perToken    float64
}

func (m *meter) begin(done, total int64) {
	m.done, m.total, m.last = done, total, m.now()
}

// update takes a step in and returns its duration; a report may be of several
// steps at once. The smoothing forgets half of the past in about 14 reports:
// steady to read, yet quick to notice a change.
func (m *meter) update(s Step) time.Duration {
	now := m.now()
	took := now.Sub(m.last)
	steps := max(1, s.Step-m.done)
	m.last, m.done = now, s.Step
	smooth := func(old *float64, v float64) {
		if *old == 0 {
			*old = v
			return
		}
		*old += 0.05 * (v - *old)
	}
	smooth(&m.perStep, took.Seconds()/float64(steps))
	if s.Tokens > 0 {
		smooth(&m.perToken, took.Seconds()/float64(s.Tokens))
	}
	return took
}

// speed says "3.21 step/s 1240 tok/s".
func (m *meter) speed() string {
	out := fmt.Sprintf("%.2f step/s", rate(m.perStep))
	if m.perToken > 0 {
		out += fmt.Sprintf(" %.0f tok/s", rate(m.perToken))
	}
	return out
}

func rate(seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return 1 / seconds
}

// left estimates the time to the last step.
func (m *meter) left() time.Duration {
	return time.Duration(float64(m.total-m.done) * m.perStep * float64(time.Second)).Round(time.Second)
}

// terms says "loss 0.4123 kl 0.4000".
func terms(values []Value) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = fmt.Sprintf("%s %.4g", v.Name, v.V)
	}
	return strings.Join(parts, " ")
}

// lines is the Progress of a pipe.
type lines struct {
	meter
	w     io.Writer
	every int64
	first bool
}

func (l *lines) Start(done, total int64) error {
	l.begin(done, total)
	l.first = true
	if done > 0 {
		return l.Note(fmt.Sprintf("resumed after step %d of %d", done, total))
	}
	return nil
}

func (l *lines) Step(s Step) error {
	l.update(s)
	if !l.first && s.Step%l.every != 0 && s.Step != l.total {
		return nil
	}
	l.first = false
	_, err := fmt.Fprintf(l.w, "%s %d/%d %s %s ETA %s\n", l.name, s.Step, l.total, terms(s.Values), l.speed(), l.left())
	return err
}

func (l *lines) Note(text string) error {
	_, err := fmt.Fprintf(l.w, "%s: %s\n", l.name, text)
	return err
}

func (l *lines) Close() error { return nil }

// bar is the Progress of a terminal.
type bar struct {
	meter
	opts  []mpb.ContainerOption
	p     *mpb.Progress
	b     *mpb.Bar
	right atomic.Pointer[string] // read by the goroutine that draws
}

func (b *bar) Start(done, total int64) error {
	space := decor.WC{C: decor.DextraSpace | decor.DindentRight}
	b.begin(done, total)
	b.right.Store(new(string))
	b.p = mpb.New(b.opts...)
	b.b = b.p.AddBar(total,
		mpb.PrependDecorators(decor.Name(b.name, space), decor.CountersNoUnit("%d/%d", space)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *b.right.Load() })))
	b.b.SetCurrent(done)
	b.b.SetRefill(done)
	return nil
}

func (b *bar) Step(s Step) error {
	b.update(s)
	text := fmt.Sprintf("%s %s ETA %s", terms(s.Values), b.speed(), b.left())
	b.right.Store(&text)
	b.b.SetCurrent(s.Step)
	return nil
}

// Note prints above the bar.
func (b *bar) Note(text string) error {
	_, err := fmt.Fprintf(b.p, "%s: %s\n", b.name, text)
	return err
}

// Close leaves the last state of the bar on the screen.
func (b *bar) Close() error {
	if b.p == nil {
		return nil
	}
	b.b.Abort(false) // does nothing to a finished bar; an unfinished one would wait forever
	b.p.Wait()
	b.p = nil
	return nil
}
