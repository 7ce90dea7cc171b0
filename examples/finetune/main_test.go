package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd"
	"github.com/qakd/qakd/pkg/experiment"
)

// Every experiment of the file that is for this program resolves, once the user has said whose voice and which file.
func TestExperiments(t *testing.T) {
	file, err := experiment.Find("", qakd.Experiments)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range file.Names() {
		if !strings.HasPrefix(name, "finetune-") {
			continue
		}
		found++
		f := experiment.Flags{Experiment: name}
		if _, _, err := resolve(f); err == nil || !strings.Contains(err.Error(), `data is "", want a JSONL file`) ||
			!strings.Contains(err.Error(), `speaker is "", want a name`) {
			t.Errorf("%s without data and speaker gives %v", name, err)
		}
		f.Set = []string{"finetune.data=a.jsonl", "finetune.speaker=ada"}
		s, _, err := resolve(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if n := s.Finetune.Batch * s.Finetune.Accumulate; n != 32 || s.Finetune.Slot != 3000 {
			t.Errorf("%s: %d utterances an update, slot %d, want 32 and 3000", name, n, s.Finetune.Slot)
		}
	}
	if found < 2 {
		t.Errorf("%d experiments are for this program, want two sizes", found)
	}
}

// What stays with a run is what it was begun with: an attempt that failed before it is written over.
func TestKeep(t *testing.T) {
	f := experiment.Flags{Experiment: "finetune-0.6b", Model: "../../pkg/talker/testdata/tiny-f32/checkpoint", Run: t.TempDir()}
	attempt := func(speaker, want string) {
		t.Helper()
		f.Set = []string{"finetune.data=gone.jsonl", "device=cpu", "threads=1", "finetune.speaker=" + speaker}
		if err := run(context.Background(), f); err == nil || !strings.Contains(err.Error(), "gone.jsonl: no such file") {
			t.Fatalf("error %v, want that the data are absent", err)
		}
		text, err := os.ReadFile(filepath.Join(f.Run, "experiment.toml"))
		if err != nil || !strings.Contains(string(text), `speaker = "`+want+`"`) {
			t.Errorf("experiment.toml is %s, %v; want speaker %s", text, err, want)
		}
	}
	attempt("ada", "ada")
	attempt("ben", "ben")
	if err := os.Mkdir(filepath.Join(f.Run, "checkpoints"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.Resume = true
	attempt("cleo", "ben")
}
