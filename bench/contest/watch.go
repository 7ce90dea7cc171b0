package contest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Quiet is the part of the machine that others may use in an undisturbed round.
const Quiet = 0.06

// ticks of /proc are hundredths of a second on every Linux.
const tick = 10 * time.Millisecond

// Watch compares the machine's busy time with that of both sides.
type Watch struct {
	pids       []int
	busy, own  time.Duration
	began      time.Time
	unreadable bool
}

// WatchMachine begins now; rivals are the processes of the other side.
func WatchMachine(rivals ...int) *Watch {
	w := &Watch{pids: append([]int{os.Getpid()}, rivals...), began: time.Now()}
	w.busy, w.own, w.unreadable = w.now()
	return w
}

// Others is the part of the machine that other programs used since; 0 where that cannot be read.
func (w *Watch) Others() float64 {
	busy, own, unreadable := w.now()
	if w.unreadable || unreadable {
		return 0
	}
	all := float64(time.Since(w.began)) * float64(runtime.NumCPU())
	return max(0, float64(busy-w.busy-(own-w.own))/all)
}

func (w *Watch) now() (busy, own time.Duration, unreadable bool) {
	b, err := os.ReadFile("/proc/stat")
	f := strings.Fields(string(b))
	if err != nil || len(f) < 9 {
		return 0, 0, true
	}
	for i, v := range f[1:9] { // user nice system idle iowait irq softirq steal
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && i != 3 && i != 4 {
			busy += time.Duration(n) * tick
		}
	}
	for _, pid := range w.pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, ok := strings.Cut(string(b), ") ") // the name before may hold anything
		f := strings.Fields(rest)
		if err != nil || !ok || len(f) < 13 {
			return 0, 0, true
		}
		for _, v := range f[11:13] { // utime, stime
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				own += time.Duration(n) * tick
			}
		}
	}
	return busy, own, false
}
