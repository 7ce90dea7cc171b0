package distill_test

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/track"
	"github.com/qakd/qakd/pkg/train"
)

// TestMemoryIsFlat: anonymous memory does not grow with the steps.
func TestMemoryIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("91 steps")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc to read memory from")
	}
	cfg := train.DefaultConfig()
	cfg.Steps, cfg.MicroBatch, cfg.TokensPerStep, cfg.TrimEvery = 91, 4, 10, 10
	o, err := distill.New(model(t, 1), student(t), distill.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	used := map[int64]float64{}
	loop := train.Loop{Config: cfg, Objective: o, Data: utterances(40), Tracker: watcher(func(s track.Step) {
		if (s.Step-1)%10 == 0 { // right after memory was returned
			used[s.Step] = anonymous(t)
		}
	})}
	if _, err := loop.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Logf("MiB: %.1f after 20 steps, %.1f after 90", used[21], used[91])
	if used[91] > 1.02*used[21]+1 {
		t.Errorf("%.1f MiB after 90 steps, %.1f after 20", used[91], used[21])
	}
}

// watcher is a tracker that only looks at steps.
type watcher func(track.Step)

func (watcher) Start(int64, int64) error  { return nil }
func (w watcher) Step(s track.Step) error { w(s); return nil }
func (watcher) Note(string) error         { return nil }
func (watcher) Close() error              { return nil }

var rss = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

// anonymous memory of the process in MiB.
func anonymous(t *testing.T) float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := rss.FindSubmatch(b)
	if m == nil {
		t.Fatalf("no RssAnon in /proc/self/status")
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return float64(kb) / 1024
}
