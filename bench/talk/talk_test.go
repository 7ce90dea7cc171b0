package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/bench/contest"
)

// A row's ratio is how many times faster ours is, and the goal is in the same sense.
func TestRows(t *testing.T) {
	r := result{
		ours:  least(times{Rows: 29, Prefill: 50, Talker: 10, Predictor: 30, Codec: 20}, times{Rows: 29, Prefill: 60, Talker: 12, Predictor: 25, Codec: 20}),
		rival: times{Rows: 29, Prefill: 40, Talker: 25, Predictor: 50, Codec: 20},
	}
	want := []contest.Row{
		{Name: "talker step", Ours: 10, Rival: 25, Ratio: 2.5, Goal: 2, Reached: true},
		{Name: "code predictor", Ours: 25, Rival: 50, Ratio: 2, Goal: 2.5, Reached: false},
		{Name: "codec", Ours: 20, Rival: 20, Ratio: 1, Goal: 1.1, Reached: false},
		{Name: "all", Ours: 55, Rival: 95, Ratio: 1.727, Goal: 2, Reached: false},
		{Name: "prefill", Ours: 50, Rival: 40, Ratio: 0.8, Goal: 1, Reached: false},
	}
	for i, got := range r.rows() {
		if got != want[i] {
			t.Errorf("%+v, want %+v", got, want[i])
		}
	}
	path := filepath.Join(t.TempDir(), "talk.json")
	if err := contest.Write(path, r.rows()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(b, &list); err != nil || len(list) != len(want) || list[0]["reached"] != true || list[1]["ratio"] != 2.0 {
		t.Errorf("%s (%v), want a list of rows", b, err)
	}
}

// peer starts a shell script in the rival's place.
func peer(t *testing.T, script string) (*rival, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peer.sh")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	return startRival(context.Background(), options{python: "sh", peer: path, threads: 1})
}

func TestRival(t *testing.T) {
	r, err := peer(t, `echo '{"torch": "9.9", "dtype": "torch.bfloat16"}'; read task; echo '{"codec_ms": 12.5}'; echo "$task" >&2; read task`)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.what, "torch 9.9") {
		t.Errorf("rival %q, want its version", r.what)
	}
	if v, err := r.sound(25); err != nil || v != 12.5 {
		t.Errorf("codec %v (%v), want 12.5", v, err)
	}
	if err := r.Close(); err == nil || !strings.Contains(r.Log(), `"frames":25`) {
		t.Errorf("error %v, log %q, want a script that got its task and ended at the end of its input", err, r.Log())
	}
	_, err = peer(t, `echo one >&2; echo "no module named qwen_tts" >&2; exit 3`)
	if err == nil || !strings.Contains(err.Error(), "it last said: no module named qwen_tts") {
		t.Errorf("error %v, want the last words", err)
	}
	_, err = startRival(context.Background(), options{python: filepath.Join(t.TempDir(), "python"), threads: 1})
	if err == nil || !strings.Contains(err.Error(), "make bench-talk sets it up") {
		t.Errorf("error %v, want what to do", err)
	}
}
