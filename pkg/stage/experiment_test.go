package stage_test

import (
	"strings"
	"testing"

	"github.com/qakd/qakd"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/talker"
)

// Every experiment of the file resolves onto the configuration structs and is valid.
func TestExperiments(t *testing.T) {
	file, err := experiment.Find("", qakd.Experiments)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{ // the kind of its checkpoint
		"demo-teacher": talker.CustomVoice, "demo-w4a16": talker.CustomVoice, "demo-w4a8": talker.CustomVoice, "demo-w4a4": talker.CustomVoice,
		"demo-twin-w4a8": talker.CustomVoice, "demo-twin-w4a16": talker.CustomVoice, "demo-twin-w4a4": talker.CustomVoice,
		"qwen3-tts-0.6b-w4a16": talker.CustomVoice, "qwen3-tts-0.6b-w4a8": talker.CustomVoice,
		"qwen3-tts-1.7b-w4a16": talker.CustomVoice, "qwen3-tts-1.7b-w4a8": talker.CustomVoice,
		"qwen3-tts-0.6b-base-w4a16": talker.Base, "qwen3-tts-0.6b-base-w4a8": talker.Base,
		"qwen3-tts-1.7b-base-w4a16": talker.Base, "qwen3-tts-1.7b-base-w4a8": talker.Base,
		"qwen3-tts-1.7b-design-w4a16": talker.VoiceDesign, "qwen3-tts-1.7b-design-w4a8": talker.VoiceDesign,
	}
	for _, name := range file.Names() {
		if strings.HasPrefix(name, "finetune-") { // examples/finetune has settings of its own, and its own test
			continue
		}
		e := stage.Default()
		if _, err := file.Resolve(name, nil, &e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		kind, ok := want[name]
		if !ok {
			t.Errorf("experiment %s is not in this test's list", name)
			continue
		}
		delete(want, name)
		l, err := e.Distill.Layouts.For(&talker.Config{Type: kind})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if real := e.Model != ""; real != (l.Text.Streaming > 0 && l.Text.Whole > 0 && l.Language.Explicit > 0) {
			t.Errorf("%s: layouts %+v, want a mix for real checkpoints and none for the demo", name, l)
		}
		if kind == talker.Base && (l.XVector == 0 || l.InContext == 0) {
			t.Errorf("%s: layouts %+v, want clones with reference speech and without", name, l)
		}
	}
	for name := range want {
		t.Errorf("experiment %s is gone", name)
	}
}
