package contest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/bench/contest"
)

// turns gives times one after the other.
func turns(ms ...float64) func(context.Context) (float64, error) {
	i := -1
	return func(context.Context) (float64, error) { i++; return ms[i], nil }
}

// The first round does not count, of the others the best does, and the ratio says how many times better ours is.
func TestBestOfRounds(t *testing.T) {
	rows, err := contest.Run(context.Background(), &strings.Builder{}, []contest.Contest{
		{Name: "a", Goal: 2, Ours: turns(1, 8, 4, 4), Rival: turns(1, 9, 12, 9)},
		{Name: "b", Goal: 2, Ours: turns(9, 10, 11, 10), Rival: turns(9, 30, 19.9, 25), Note: "no AMX"},
	}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if r := rows[0]; r != (contest.Row{"a", 4, 9, 2.25, 2, true, ""}) {
		t.Errorf("row %+v", r)
	}
	if r := rows[1]; r != (contest.Row{"b", 10, 19.9, 1.99, 2, false, "no AMX; disturbed: rival mostly took 1.3× its best"}) {
		t.Errorf("row %+v", r)
	}
	path := filepath.Join(t.TempDir(), "x.json")
	if err := contest.Write(path, rows); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), `"ratio": 2.25`) {
		t.Errorf("%s (%v)", b, err)
	}
}

// A shell that answers is rival enough.
func TestRival(t *testing.T) {
	var hello struct{ Who string }
	r, err := contest.Start(context.Background(), 1, &hello, "sh", "-c", `echo '{"who":"me"}'; while read line; do echo '{"ms":7}'; done`)
	if err != nil || hello.Who != "me" {
		t.Fatal(hello, err)
	}
	var answer struct{ MS float64 }
	if err := r.Ask(map[string]string{"stage": "x"}, &answer); err != nil || answer.MS != 7 {
		t.Error(answer, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for script, want := range map[string]string{"echo no package >&2; exit 3": "it last said: no package", "echo nonsense": "nonsense"} {
		if _, err := contest.Start(context.Background(), 1, &hello, "sh", "-c", script); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want it to say %q", script, err, want)
		}
	}
}
