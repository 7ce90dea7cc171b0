package stage_test

import (
	"testing"

	"github.com/qakd/qakd"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/stage"
)

// Every experiment of the file resolves onto the configuration structs and is valid.
func TestExperiments(t *testing.T) {
	file, err := experiment.Find("", qakd.Experiments)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		"demo-teacher": true, "demo-w4a16": true, "demo-w4a8": true, "demo-w4a4": true,
		"qwen3-tts-0.6b-w4a16": true, "qwen3-tts-0.6b-w4a8": true, "qwen3-tts-1.7b-w4a16": true, "qwen3-tts-1.7b-w4a8": true,
	}
	for _, name := range file.Names() {
		e := stage.Default()
		if _, err := file.Resolve(name, nil, &e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !want[name] {
			t.Errorf("experiment %s is not in this test's list", name)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("experiment %s is gone", name)
	}
}
