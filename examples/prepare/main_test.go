package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/prepare"
)

const (
	base   = "../../pkg/talker/testdata/tiny-f32/checkpoint"
	custom = "../../pkg/talker/testdata/tiny-sharded/checkpoint"
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// start runs the program with a command line.
func start(args ...string) (stdout, stderr string, code int) {
	fs := flag.NewFlagSet("prepare", flag.ContinueOnError)
	var f flags
	f.register(fs)
	var out, log bytes.Buffer
	fs.SetOutput(&log)
	code = experiment.Main(fs, append([]string{"-threads", "1"}, args...), func(ctx context.Context) error { return run(ctx, &out, &log, f) })
	return out.String(), log.String(), code
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Recordings and a teacher's own speech become rows that package data reads; the summary, as a table or as JSON, has what
// was skipped.
func TestBothWays(t *testing.T) {
	dir := t.TempDir()
	if err := audio.Write(filepath.Join(dir, "a.wav"), audio.Clip{Rate: 24000, Samples: make([]float32, 9600)}, audio.PCM16); err != nil {
		t.Fatal(err)
	}
	recordings := write(t, filepath.Join(dir, "recordings.jsonl"), `{"audio":"a.wav","text":"hi","ref_audio":"a.wav"}
{"audio":"b.wav","text":"hi","ref_audio":"a.wav"}
`)
	texts := write(t, filepath.Join(dir, "texts.jsonl"), `{"text":"hi","speaker":"Ryan"}
{"text":"hi","speaker":"nobody"}
`)
	for name, args := range map[string][]string{
		"recordings": {"-model", base, "-in", recordings, "-root", dir},
		"teacher":    {"-model", custom, "-in", texts, "-from-teacher", "-set", "do_sample=true", "-batch", "1"},
	} {
		for i, asJSON := range []string{"-json=false", "-json"} {
			out := filepath.Join(dir, fmt.Sprint(name, i))
			stdout, stderr, code := start(append(args, "-out", out, asJSON)...)
			if code != 0 || !strings.Contains(stderr, "used 1 skipped 1") {
				t.Fatalf("%s: code %d: %s", name, code, stderr)
			}
			list, err := data.ReadFile(out, nil)
			if err != nil {
				t.Fatal(err)
			}
			var s prepare.Summary
			if i == 0 {
				if !strings.Contains(stdout, "│ reason") || !strings.Contains(stdout, "│ utterances │") {
					t.Errorf("%s: tables\n%s", name, stdout)
				}
			} else if err := json.Unmarshal([]byte(stdout), &s); err != nil || s.Utterances != 1 || len(s.Skipped) != 1 || s.Frames != list[0].Frames() {
				t.Errorf("%s: %v: %s", name, err, stdout)
			}
			if len(list) != 1 || list[0].From.Text != "hi" || list[0].Frames() == 0 {
				t.Errorf("%s: %+v", name, list)
			}
		}
	}
}

// Each slip of the command line is one message, and no file.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	in, out := write(t, filepath.Join(dir, "in.jsonl"), `{"text":"hi","speaker":"Ryan"}`), filepath.Join(dir, "out.jsonl")
	all := []string{"-model", custom, "-in", in, "-out", out}
	with := func(args ...string) []string { return append(all[:len(all):len(all)], args...) }
	for want, tt := range map[string]struct {
		code int
		args []string
	}{
		"-model is missing": {2, nil},
		"-in is missing":    {2, []string{"-model", custom}},
		"-out is missing":   {2, []string{"-model", custom, "-in", in}},
		"-batch is -1":      {2, with("-batch", "-1")},
		"-set and -layout say how a teacher speaks":                {2, with("-set", "top_k=1")},
		"-longest is of recordings":                                {2, with("-from-teacher", "-longest", "1s")},
		`-layout is "sideways", want one of ["whole" "streaming"]`: {2, with("-from-teacher", "-layout", "sideways")},
		`key "top_p": value 2, want a number in (0, 1]`:            {2, with("-from-teacher", "-set", "top_p=2")},
		"nothere.jsonl: no such file or directory":                 {1, with("-from-teacher", "-in", filepath.Join(dir, "nothere.jsonl"))},
		"in.jsonl is there already, want a path that is not":       {1, with("-from-teacher", "-out", in)},
		`in.jsonl:1: key "audio" is missing, want a WAV file`:      {1, all},
	} {
		_, stderr, code := start(tt.args...)
		if code != tt.code || !strings.Contains(stderr, want) {
			t.Errorf("%q: code %d, want %d, %q; stderr %q", tt.args, code, tt.code, want, stderr)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
