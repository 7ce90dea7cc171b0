package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/pkg/report"
)

// shell is a bench whose rivals are scripts.
func shell(t *testing.T, scripts map[string]string) *bench {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{o: options{python: "sh", peers: dir, threads: 1, rounds: 5}}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A rival that does not start or cannot do a thing leaves a row that says so; what misses its goal is profiled, once.
func TestRun(t *testing.T) {
	b := shell(t, map[string]string{
		"good.py": `echo '{"version": 3}'; while read task; do case "$task" in *open*) echo '{"error": "needs AMX"}';; *) echo '{"ms": 4}';; esac; done`,
		"bad.py":  `echo no module named x >&2; exit 3`,
	})
	ctx := context.Background()
	good, bad := b.peer(ctx, "good.py"), b.peer(ctx, "bad.py")
	if b.peer(ctx, "good.py") != good {
		t.Error("a peer was started twice")
	}
	unable := good.do(task{"stage": "open"})
	if unable == nil || unable.Error() != "needs AMX" {
		t.Errorf("error %v, want the peer's", unable)
	}
	ours := func(context.Context) (float64, error) { return 2, nil }
	profile := func(float64) (*report.Table, error) { return &report.Table{Title: "it"}, nil }
	err := b.run(ctx, "test", []race{
		{Contest: contest.Contest{Name: "fast", Goal: 2, Ours: ours, Rival: good.time(task{"stage": "run"})}, rival: good, profile: profile},
		{Contest: contest.Contest{Name: "absent", Goal: 1, Ours: ours}, rival: bad, why: bad.why},
		{Contest: contest.Contest{Name: "slow", Goal: 3, Ours: ours, Rival: good.time(task{"stage": "run"})}, rival: good, profile: profile},
		{Contest: contest.Contest{Name: "slow too", Goal: 3, Ours: ours, Rival: bound(4)}, profile: profile},
		{Contest: contest.Contest{Name: "unable", Goal: 1, Ours: ours, Note: "a note"}, rival: good, why: unable},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"fast 2 true", "absent 0 false", "slow 2 false", "slow too 2 false", "unable 0 false"}
	for i, r := range b.rows {
		if got := fmt.Sprint(r.Name, " ", r.Ratio, " ", r.Reached); got != want[i] {
			t.Errorf("row %q, want %q", got, want[i])
		}
	}
	if n := b.rows[1].Note; !strings.Contains(n, "no module named x") || !strings.Contains(n, "make bench-int4") {
		t.Errorf("note %q, want why and what to do", n)
	}
	if n := b.rows[4].Note; n != "a note; no rival: needs AMX" {
		t.Errorf("note %q", n)
	}
	if len(b.missed) != 1 || b.missed[0].Title != "where the time goes: it" {
		t.Errorf("profiles %v, want one", b.missed)
	}
}

// Names tell rows apart, and say shape and group.
func TestProducts(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range products() {
		name := p.String()
		if seen[name] || !strings.Contains(name, fmt.Sprintf("M=%d g%d %d×%d", p.m, p.group, p.n, p.k)) {
			t.Errorf("name %q", name)
		}
		seen[name] = true
		for _, a := range p.rivals() {
			if a.goal < 0.9 {
				t.Errorf("%s: goal %v", name, a.goal)
			}
		}
	}
}

// Copies differ in their bytes, and each product is computed.
func TestWeights(t *testing.T) {
	w, err := newWeights(1, 48, 128, 2, 32, 3*48*128*9/16)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.list) != 3 {
		t.Fatalf("%d copies, want 3", len(w.list))
	}
	n := w.bytes()
	if bytes.Equal(w.region[:n], w.region[n:2*n]) || bytes.Equal(w.region[n:2*n], w.region[2*n:]) {
		t.Error("two copies are equal")
	}
	ms, err := w.product(2)
	if err != nil || ms <= 0 || w.y[0][0] == 0 || w.y[0][95] == 0 {
		t.Errorf("%v ms (%v), y %v … %v", ms, err, w.y[0][0], w.y[0][95])
	}
	if ms, err := w.read(2); err != nil || ms <= 0 {
		t.Errorf("reading: %v ms (%v)", ms, err)
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	o := options{threads: 1, rounds: 5, frames: 16, parts: "linear,nothing"}
	if err := run(context.Background(), o); err == nil || !strings.Contains(err.Error(), `"linear,nothing"`) {
		t.Errorf("error %v, want the parts", err)
	}
	o.rounds = 4
	if err := run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "-rounds 4") {
		t.Errorf("error %v, want the rounds", err)
	}
	if f := rtf(400, 10); f != 0.5 {
		t.Errorf("real-time factor %v, want 0.5", f)
	}
	if _, err := (&bench{o: options{models: t.TempDir()}}).firstProduct("1.7b"); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that there is no model", err)
	}
}
