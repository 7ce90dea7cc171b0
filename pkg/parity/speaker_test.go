package parity

import (
	"path/filepath"
	"testing"
)

// speakerChecks runs the one section: what passes, what fails, and how many goldens are not computed.
func speakerChecks(t *testing.T, dir string) (passed, failed []string, inputs int) {
	t.Helper()
	const file = "speaker.safetensors"
	f, err := openFixture(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	got, err := f.section(sections[file], file)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range f.tensors {
		if e.File != file {
			continue
		}
		value, ours := got[e.Name]
		if !ours {
			inputs++
		} else if c := f.check(e, value); c.Pass {
			passed = append(passed, e.Name)
		} else {
			failed = append(failed, e.Name)
		}
	}
	return passed, failed, inputs
}

// Both base fixtures: 17 goldens, of which two are the clips.
func TestSpeakerGoldens(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-bf16"} {
		passed, failed, inputs := speakerChecks(t, fixtures+fixture)
		if len(passed) != 15 || len(failed) != 0 || inputs != 2 {
			t.Errorf("%s: %d passed, %d inputs, want 15 and 2; failed: %v", fixture, len(passed), inputs, failed)
		}
	}
}

// A dilation that is another one changes what comes after it, and nothing before.
func TestDetectsSpeakerDifference(t *testing.T) {
	dir := copied(t, "tiny-bf16")
	edit(t, filepath.Join(dir, "checkpoint", "config.json"), "\"enc_dilations\": [\n      1,\n      2,\n      3,", "\"enc_dilations\": [\n      1,\n      2,\n      2,")
	passed, failed, _ := speakerChecks(t, dir)
	// From block 2 on: its output, that of block 3, aggregation, pooling, two vectors.
	if len(failed) != 6 || len(passed) != 9 {
		t.Errorf("%d passed (%v), %d failed (%v), want 9 and 6", len(passed), passed, len(failed), failed)
	}
}
