package track

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Counter shows how far something is whose end is not known: one line that is written anew on a terminal, else a line at
// the first and every every-th count.
type Counter struct {
	w        io.Writer
	unit     string
	every    int64
	terminal bool
	now      func() time.Time
	shown    time.Time
	told     int64 // by the last line
	last     string
}

// NewCounter counts units on w, e.g. "frames".
func NewCounter(w io.Writer, unit string, every int64) *Counter {
	f, ok := w.(*os.File)
	return &Counter{w: w, unit: unit, every: max(1, every), terminal: ok && term.IsTerminal(int(f.Fd())), now: time.Now}
}

// At reports count n, with a remark such as a speed. A count that is reported again is the same line.
func (c *Counter) At(n int64, remark string) error {
	c.last = fmt.Sprintf("%d %s %s", n, c.unit, remark)
	if !c.terminal {
		if n == c.told || n != 1 && n%c.every != 0 {
			return nil
		}
		c.told = n
		_, err := fmt.Fprintln(c.w, c.last)
		return err
	}
	const refresh = 100 * time.Millisecond
	if now := c.now(); now.Sub(c.shown) >= refresh {
		c.shown = now
		return c.draw("")
	}
	return nil
}

// Close leaves the last count on the screen.
func (c *Counter) Close() error {
	if !c.terminal || c.last == "" {
		return nil
	}
	return c.draw("\n")
}

func (c *Counter) draw(end string) error {
	const clear = "\r\x1b[K"
	_, err := fmt.Fprint(c.w, clear, c.last, end)
	return err
}
