package track

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vbauerster/mpb/v8"
)

// clock advances half a second per reading.
func clock() func() time.Time {
	at := time.Unix(0, 0)
	return func() time.Time {
		at = at.Add(500 * time.Millisecond)
		return at
	}
}

func run(t *testing.T, tr Tracker, done, upTo, total int64) {
	t.Helper()
	if err := tr.Start(done, total); err != nil {
		t.Fatal(err)
	}
	for step := done + 1; step <= upTo; step++ {
		if err := tr.Step(Step{Step: step, Tokens: 10, Values: []Value{{"loss", 1 / float64(step)}, {"kl", 0.25}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestResumeMatchesWhole: a run that crashed beyond its last checkpoint and
// was resumed leaves the same file as an uninterrupted one.
func TestResumeMatchesWhole(t *testing.T) {
	dir := t.TempDir()
	whole, split := filepath.Join(dir, "whole"), filepath.Join(dir, "split")
	tracker := func(path string) *JSONL { return &JSONL{path: path, now: clock()} }
	run(t, tracker(whole), 0, 6, 6)

	run(t, tracker(split), 0, 5, 6) // the checkpoint is of step 3
	f, err := os.OpenFile(split, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"step":6,"tok`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	run(t, tracker(split), 3, 6, 6)

	a, _ := os.ReadFile(whole)
	b, _ := os.ReadFile(split)
	if diff := cmp.Diff(string(a), string(b)); diff != "" {
		t.Errorf("(-whole +resumed):\n%s", diff)
	}
	if first, _, _ := strings.Cut(string(a), "\n"); first != `{"step":1,"tokens":10,"seconds":0.500,"loss":1,"kl":0.25}` {
		t.Errorf("first line %s", first)
	}
	run(t, tracker(split), 0, 1, 6)
	if b, _ = os.ReadFile(split); bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("a new run keeps old lines:\n%s", b)
	}
}

func TestJSONLErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.jsonl")
	j := NewJSONL(path)
	if err := j.Step(Step{Step: 1}); err == nil || !strings.Contains(err.Error(), "Step before Start") {
		t.Errorf("not started: %v", err)
	}
	if err := j.Start(0, 1); err != nil {
		t.Fatal(err)
	}
	if err := j.Step(Step{Step: 1, Values: []Value{{"kl", 1}, {"kl", 2}}}); err == nil || !strings.Contains(err.Error(), `two values named "kl"`) {
		t.Errorf("duplicate: %v", err)
	}
	if err := j.Step(Step{Step: 1, Values: []Value{{"a", math.NaN()}, {"b", math.Inf(1)}}}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Error(err)
	}
	if data, _ := os.ReadFile(path); !strings.HasSuffix(string(data), `"a":null,"b":null}`+"\n") {
		t.Errorf("not finite: %s", data)
	}
	if err := os.WriteFile(path, []byte("{\"step\":1}\nnonsense\n{\"step\":2}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := NewJSONL(path).Start(5, 9); err == nil || !strings.Contains(err.Error(), path+": line 2 is not a metrics line") {
		t.Errorf("corrupt: %v", err)
	}
	if err := NewJSONL(filepath.Join(path, "x")).Start(0, 1); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("bad path: %v", err)
	}
}

func TestLines(t *testing.T) {
	var b bytes.Buffer
	tr := NewProgress(&b, "distill", 4)
	tr.(*lines).now = clock()
	run(t, tr, 2, 10, 10)
	const want = `distill: resumed after step 2 of 10
distill 3/10 loss 0.3333 kl 0.25 2.00 step/s 20 tok/s ETA 4s
distill 4/10 loss 0.25 kl 0.25 2.00 step/s 20 tok/s ETA 3s
distill 8/10 loss 0.125 kl 0.25 2.00 step/s 20 tok/s ETA 1s
distill 10/10 loss 0.1 kl 0.25 2.00 step/s 20 tok/s ETA 0s
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestBar draws on a pretended terminal, finished and unfinished.
func TestBar(t *testing.T) {
	for _, upTo := range []int64{3, 5} {
		var b bytes.Buffer
		tr := &bar{meter: meter{name: "distill", now: clock()}, opts: []mpb.ContainerOption{mpb.WithOutput(&b), mpb.ForceTTY(), mpb.WithWidth(120), mpb.WithAutoRefresh()}}
		if err := tr.Start(0, 5); err != nil {
			t.Fatal(err)
		}
		for step := int64(1); step <= upTo; step++ {
			if err := tr.Step(Step{Step: step, Tokens: 10, Values: []Value{{"kl", 0.5}}}); err != nil {
				t.Fatal(err)
			}
		}
		closed := make(chan error)
		go func() { closed <- errors.Join(tr.Note("saved"), tr.Close(), tr.Close()) }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Close hangs")
		}
		out := b.String()
		for _, want := range []string{"distill", map[int64]string{3: "3/5", 5: "5/5"}[upTo], "kl 0.5", "2.00 step/s", "20 tok/s", "ETA"} {
			if !strings.Contains(out, want) {
				t.Errorf("%d steps: no %q in %q", upTo, want, out)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Start(int64, int64) error { return f.err }
func (f failing) Step(Step) error          { return f.err }
func (f failing) Note(string) error        { return f.err }
func (f failing) Close() error             { return f.err }

func TestMulti(t *testing.T) {
	var b bytes.Buffer
	broken := errors.New("disk full")
	tr := Multi(failing{broken}, NewProgress(&b, "x", 1), failing{io.ErrClosedPipe})
	for what, err := range map[string]error{"Start": tr.Start(0, 1), "Step": tr.Step(Step{Step: 1}), "Note": tr.Note("n"), "Close": tr.Close()} {
		if !errors.Is(err, broken) || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !strings.Contains(b.String(), "x 1/1") {
		t.Errorf("the working tracker was skipped: %q", b.String())
	}
}
