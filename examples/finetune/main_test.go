package main

import (
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
