package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/inspect"
	"github.com/qakd/qakd/pkg/stage"
)

const fixture = "../../pkg/talker/testdata/tiny-sharded/checkpoint"

func flags() experiment.Flags {
	return experiment.Flags{Config: "../../experiments.toml", Experiment: stage.DefaultExperiment, Model: fixture, Device: "cpu", Set: []string{"threads=1"}}
}

// TestViews: every view prints tables, and with -json one object and nothing else; -out has the same object.
func TestViews(t *testing.T) {
	for _, v := range inspect.Views() {
		var text, object bytes.Buffer
		if err := run(&text, flags(), v.Name, inspect.Options{}); err != nil || !strings.Contains(text.String(), "╭") {
			t.Errorf("%s: %v\n%s", v.Name, err, &text)
		}
		f := flags()
		f.JSON, f.Out = true, filepath.Join(t.TempDir(), "out.json")
		if err := run(&object, f, v.Name, inspect.Options{}); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		var m map[string]any
		if err := json.Unmarshal(object.Bytes(), &m); err != nil || m["dir"] != fixture {
			t.Errorf("%s -json: %v, dir %v", v.Name, err, m["dir"])
		}
		if out, err := os.ReadFile(f.Out); err != nil || !bytes.Equal(out, object.Bytes()) {
			t.Errorf("%s -out: %v, %d bytes, want those of stdout", v.Name, err, len(out))
		}
		if err := run(&object, f, v.Name, inspect.Options{}); err == nil || !strings.Contains(err.Error(), "is there already") {
			t.Errorf("%s -out twice: %v", v.Name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		view   string
		change func(f *experiment.Flags)
		depth  int
		code   int
		want   string
	}{
		"view":       {"nope", func(*experiment.Flags) {}, 0, 2, `unknown view "nope", want one of: model, structure, layers, forward, head, vocab, quant`},
		"depth":      {"structure", func(*experiment.Flags) {}, -1, 2, "-depth is -1"},
		"experiment": {"model", func(f *experiment.Flags) { f.Experiment = "demo-w4a9" }, 0, 2, `unknown experiment "demo-w4a9"`},
		"key":        {"quant", func(f *experiment.Flags) { f.Set = []string{"quant.wieght.bits=8"} }, 0, 2, "wieght"},
		"model":      {"model", func(f *experiment.Flags) { f.Model = "nowhere" }, 0, 1, filepath.Join("nowhere", "config.json")},
	} {
		f := flags()
		tt.change(&f)
		err := run(new(bytes.Buffer), f, tt.view, inspect.Options{Depth: tt.depth})
		if err == nil || experiment.ExitCode(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: exit %d, %v, want %d with %q", name, experiment.ExitCode(err), err, tt.code, tt.want)
		}
	}
}

// TestCheckpoint: -model, then the furthest of the run, then the experiment's model.
func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	if got, err := checkpoint("", dir, "e"); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a run without a checkpoint: %q, %v, want an error that names it", got, err)
	}
	for _, tt := range []struct{ make, model, run, want string }{
		{"", "m", dir, "m"},
		{"", "", "", "e"},
		{stage.StudentDir, "", dir, filepath.Join(dir, stage.StudentDir)},
		{stage.PackedDir, "", dir, filepath.Join(dir, stage.PackedDir)},
	} {
		if tt.make != "" {
			if err := os.Mkdir(filepath.Join(dir, tt.make), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := checkpoint(tt.model, tt.run, "e"); err != nil || got != tt.want {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
	}
}

func TestDryRun(t *testing.T) {
	f, b := flags(), new(bytes.Buffer)
	f.DryRun = true
	if err := run(b, f, "model", inspect.Options{}); err != nil || !strings.Contains(b.String(), "quant.weight.group_size") {
		t.Errorf("%v\n%s", err, b)
	}
}
