package parity

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a changed configuration changes is seen, and nothing else fails: an end that is no end, another think token.
func TestGenerationDetectsDifference(t *testing.T) {
	for change, want := range map[[2]string]string{
		{`"codec_think_id": 170`, `"codec_think_id": 168`}:         "custom_full.prompt_embeds",
		{`"codec_eos_token_id": 166`, `"codec_eos_token_id": 167`}: "custom_full.scores",
		{`"dylan": "beijing_dialect"`, `"dylan": false`}:           "custom_dialect.prompt_embeds",
	} {
		dir := only(t, "tiny-sharded", "generate.safetensors", "sampling.safetensors")
		edit(t, filepath.Join(dir, "checkpoint", "config.json"), change[0], change[1])
		res, err := Run(dir)
		if err != nil {
			t.Fatal(err)
		}
		failed := make(map[string]bool)
		for _, c := range res.Checks {
			failed[c.Name] = failed[c.Name] || !c.Pass
		}
		if !failed[want] || failed["voice_design.tts_pad_embed"] {
			t.Errorf("%s: %d failures %v, want %s among them, but not the pad", change[1], res.Failed, failed, want)
		}
	}
}

// A fixture without speech tokenizer is compared as far as it goes, and says what is missing.
func TestGenerationWithoutCodec(t *testing.T) {
	dir := only(t, "tiny-sharded", "generate.safetensors")
	edit(t, filepath.Join(dir, "checkpoint", "speech_tokenizer", "config.json"), `"decoder_config"`, `"decoder"`)
	res, err := Run(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Checks {
		heard := strings.HasSuffix(c.Name, ".wav")
		if c.Pass == heard || heard && !strings.Contains(c.Problem, "decoder_config") {
			t.Errorf("%s: pass %v, %q", c.Name, c.Pass, c.Problem)
		}
	}
}

// only is a copy of a fixture with these golden files.
func only(t *testing.T, fixture string, files ...string) string {
	t.Helper()
	dir := copied(t, fixture)
	all, err := filepath.Glob(filepath.Join(dir, "golden", "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(all, filepath.Join(dir, "golden", "grad_norms.json")) {
		if !slices.Contains(files, filepath.Base(f)) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}
