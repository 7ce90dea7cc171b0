package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/qakd/qakd/pkg/hub"
	"github.com/qakd/qakd/pkg/report"
)

// every is the pause between two lines about one file where there is no terminal.
const every = 10 * time.Second

// nameColumn is as wide as the names of a checkpoint's files. The library's own common width (decor.DSyncWidth) can wait
// forever for a bar that is added while others are drawn.
var nameColumn = decor.WC{W: len("speech_tokenizer/preprocessor_config.json "), C: decor.DextraSpace | decor.DindentRight}

// bars shows each file's transfer on w: a live bar on a terminal, else lines.
type bars struct {
	w     io.Writer
	p     *mpb.Progress // nil without a terminal
	now   func() time.Time
	mu    sync.Mutex
	files map[string]*row
}

// row is a file on its way.
type row struct {
	bar         *mpb.Bar
	begun, last time.Time
	from, have  int64
	done        bool
}

func newBars(w io.Writer) *bars {
	b := &bars{w: w, now: time.Now, files: map[string]*row{}}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.p = mpb.New(mpb.WithOutput(w))
	}
	return b
}

// Begin shows a new row.
func (b *bars) Begin(f hub.File) {
	b.mu.Lock()
	now := b.now()
	r := &row{begun: now, last: now, from: f.Have, have: f.Have}
	b.files[f.Path] = r
	b.mu.Unlock() // a new bar waits for those that are drawn, and these ask for the speed
	if b.p == nil {
		b.line(f, "%s, %s here", report.Bytes(f.Size), report.Bytes(f.Have))
		return
	}
	r.bar = b.p.AddBar(f.Size,
		mpb.PrependDecorators(decor.Name(f.Path, nameColumn)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + b.state(r, f.Size) })))
	r.bar.SetRefill(f.Have)
	r.bar.SetCurrent(f.Have)
}

// Advance moves the row.
func (b *bars) Advance(f hub.File, have int64) {
	b.mu.Lock()
	r := b.files[f.Path]
	if have < r.have { // over again
		r.begun, r.from = b.now(), have
	}
	r.have = have
	due := b.p == nil && b.now().Sub(r.last) >= every
	if due {
		r.last = b.now()
	}
	b.mu.Unlock() // the bar asks for the speed
	switch {
	case b.p != nil && have < f.Size: // a full bar cannot go back, and content may yet turn out wrong
		r.bar.SetCurrent(have)
	case due:
		b.line(f, "%s", b.state(r, f.Size))
	}
}

// Note prints a line, above the bars.
func (b *bars) Note(f hub.File, text string) { b.line(f, "%s", text) }

// End leaves the last state of the row on the screen.
func (b *bars) End(f hub.File) {
	b.mu.Lock()
	r := b.files[f.Path]
	r.have, r.done, r.last = f.Size, true, b.now()
	if f.State == hub.Missing || f.State == hub.Partial {
		r.have = f.Have
	}
	b.mu.Unlock()
	if b.p == nil {
		b.line(f, "%s", state(f))
		return
	}
	r.bar.SetCurrent(r.have)
	r.bar.Abort(false) // does nothing to a full bar; another one would wait forever
}

func (b *bars) close() {
	if b.p != nil {
		b.p.Wait()
	}
}

// state says how far a row is, its mean speed, and the time that the rest takes.
func (b *bars) state(r *row, size int64) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := fmt.Sprintf("%s / %s", report.Bytes(r.have), report.Bytes(size))
	now := b.now()
	if r.done {
		now = r.last
	}
	seconds := now.Sub(r.begun).Seconds()
	if seconds <= 0 || r.have <= r.from {
		return text
	}
	rate := float64(r.have-r.from) / seconds
	text += fmt.Sprintf(", %s/s", report.Bytes(int64(rate)))
	if r.done {
		return text
	}
	left := time.Duration(float64(size-r.have) / rate * float64(time.Second))
	return fmt.Sprintf("%s, %s left", text, left.Round(time.Second))
}

func (b *bars) line(f hub.File, format string, args ...any) {
	w := b.w
	if b.p != nil {
		w = b.p
	}
	name := ""
	if f.Path != "" {
		name = f.Path + ": "
	}
	fmt.Fprintf(w, "%s%s\n", name, fmt.Sprintf(format, args...)) // nothing is lost with a progress line
}
