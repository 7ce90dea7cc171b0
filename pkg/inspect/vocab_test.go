package inspect_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/inspect"
)

// TestVocabFixture: a whole checkpoint, where everything fits and nothing compares text tokens with the codec table; then
// a talker alone, where the tokenizers are absent, which is no fault.
func TestVocabFixture(t *testing.T) {
	v := look[*inspect.Vocab](t, sharded, "vocab", inspect.Options{})
	if v.Text.Rows != 517 || v.Codec.Rows != 1088 || v.Codec.Codes != 64 || v.Codec.Others != 3 ||
		len(v.Text.Files) != 3 || v.Text.Pieces != 420 || v.Text.Merges != 164 || v.Text.Added != 33 || v.Text.Unused != 517-453 {
		t.Errorf("%+v", v)
	}
	if diff := cmp.Diff([]inspect.Named{{Name: "dylan", ID: 894}, {Name: "ryan", ID: 1077}, {Name: "serena", ID: 1082}}, v.Codec.Speakers); diff != "" {
		t.Error(diff)
	}
	if len(v.Codec.Languages) != 12 || v.Codec.Control[2] != (inspect.Named{Name: "codec_eos_token_id", ID: 166}) {
		t.Errorf("%+v", v.Codec)
	}
	want := map[string]string{"text ids": "ok", "merges": "ok", "text rows": "ok", "prompt ids": "ok", "text table": "ok", "codec table": "ok",
		"predictor tables": "ok", "heads": "ok", "codec ids": "ok", "codes": "ok", "speech tokenizer": "ok"}
	if diff := cmp.Diff(want, verdicts(v)); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	alone := t.TempDir()
	must(t, os.CopyFS(alone, os.DirFS(sharded)))
	must(t, os.RemoveAll(filepath.Join(alone, "speech_tokenizer")))
	for _, name := range []string{"vocab.json", "merges.txt", "tokenizer_config.json"} {
		must(t, os.Remove(filepath.Join(alone, name)))
	}
	v = look[*inspect.Vocab](t, alone, "vocab", inspect.Options{})
	want = map[string]string{"text tokenizer": "absent", "text table": "ok", "codec table": "ok", "predictor tables": "ok",
		"heads": "ok", "codec ids": "ok", "codes": "ok", "speech tokenizer": "absent"}
	if diff := cmp.Diff(want, verdicts(v)); diff != "" || len(v.Text.Files) != 0 {
		t.Errorf("verdicts of a talker alone (-want +got):\n%s", diff)
	}
}

func verdicts(v *inspect.Vocab) map[string]string {
	out := map[string]string{}
	for _, c := range v.Checks {
		out[c.Name] = c.Verdict
	}
	return out
}

// TestVocabDemo: the demo's tokenizer files fit its configuration.
func TestVocabDemo(t *testing.T) {
	dir := t.TempDir()
	must(t, demo.WriteSettings(dir))
	raw, err := demo.TeacherConfig()
	must(t, err)
	weigh(t, dir, raw)
	v := look[*inspect.Vocab](t, dir, "vocab", inspect.Options{})
	for _, c := range v.Checks {
		if c.Verdict != inspect.OK && c.Name != "speech tokenizer" {
			t.Errorf("%+v", c)
		}
	}
	if v.Text.Rows != demo.TextVocab || v.Text.Added != 33 || int64(v.Text.Pieces+v.Text.Added) != v.Text.Size || v.Text.Unused != v.Text.Rows-v.Text.Size {
		t.Errorf("%+v", v.Text)
	}
}

// tiny is a tokenizer of a few pieces for the configuration that tinyConfig makes.
func tiny() map[string]string {
	return map[string]string{
		"vocab.json": `{"a":0,"b":1,"ab":2,"assistant":3,"Ċ":198` + filler(4, 198) + `}`,
		"merges.txt": "#version: 0.2\na b\n",
		"tokenizer_config.json": `{"added_tokens_decoder":{"199":{"content":"<|im_start|>"},"200":{"content":"<|im_end|>"},
			"201":{"content":"<tts_pad>"},"202":{"content":"<tts_text_bos>"},"203":{"content":"<tts_text_eod>"}}}`,
	}
}

func filler(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `,"<%d>":%d`, i, i)
	}
	return b.String()
}

func tinyConfig() map[string]any {
	return map[string]any{"im_start_token_id": 199, "im_end_token_id": 200, "assistant_token_id": 3, "tts_pad_token_id": 201,
		"tts_bos_token_id": 202, "tts_eos_token_id": 203, "talker_config/text_vocab_size": 210}
}

// TestVocabFaults: what is wrong is said, with the ids, and nothing else is.
func TestVocabFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		config map[string]any
		files  map[string]string
		check  string // "" for none that is wrong
		detail string
	}{
		"sound":      {},
		"hole":       {files: map[string]string{"vocab.json": `{"a":0,"b":1,"ab":2,"assistant":3,"Ċ":198` + filler(5, 198) + `}`}, check: "text ids", detail: "ids below 204 without one: [4]"},
		"clash":      {files: map[string]string{"vocab.json": `{"a":0,"b":1,"ab":2,"assistant":3,"Ċ":198,"x":199` + filler(4, 198) + `}`}, check: "text ids", detail: "ids with two tokens: [199]"},
		"merge":      {files: map[string]string{"merges.txt": "a b\nb a\n"}, check: "merges", detail: `merge 1: "ba"`},
		"few rows":   {config: map[string]any{"talker_config/text_vocab_size": 204, "tts_eos_token_id": 203}, files: map[string]string{"tokenizer_config.json": strings.Replace(tiny()["tokenizer_config.json"], `}}}`, `},"204":{"content":"more"}}}`, 1)}, check: "text rows", detail: "205 ids, but the text embedding has 204 rows"},
		"prompt":     {config: map[string]any{"tts_pad_token_id": 202}, check: "prompt ids", detail: `id 202 is "<tts_text_bos>", want "<tts_pad>"`},
		"codec id":   {config: map[string]any{"talker_config/spk_id": map[string]int{"ann": 166, "bo": 1000, "bob": 1000}}, check: "codec ids", detail: "id 166 is codec_eos_token_id and ann"},
		"code":       {config: map[string]any{"talker_config/codec_language_id": map[string]int{"english": 63}}, check: "codec ids", detail: "english is 63, a code"},
		"two voices": {config: map[string]any{"talker_config/spk_id": map[string]int{"bo": 1000, "bob": 1000}}},
		"speech":     {files: map[string]string{"speech_tokenizer/config.json": `{"decoder_config":{"codebook_size":64,"num_quantizers":8}}`}, check: "speech tokenizer", detail: "8 codebooks of 64 codes, the talker has 16 of 64"},
		"single": {files: map[string]string{"vocab.json": "", "merges.txt": "", "tokenizer_config.json": "",
			"tokenizer.json": `{"model":{"vocab":` + tiny()["vocab.json"] + `,"merges":["a b",["a","b"]]},"added_tokens":[{"id":199,"content":"<|im_start|>"},
			{"id":200,"content":"<|im_end|>"},{"id":201,"content":"<tts_pad>"},{"id":202,"content":"<tts_text_bos>"},{"id":203,"content":"<tts_text_eod>"}]}`}},
	} {
		t.Run(name, func(t *testing.T) {
			set, files := tinyConfig(), tiny()
			maps.Copy(set, tt.config)
			maps.Copy(files, tt.files)
			dir := declared(t, set)
			for file, text := range files {
				must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
				if text != "" {
					must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
				}
			}
			found := false
			for _, c := range look[*inspect.Vocab](t, dir, "vocab", inspect.Options{}).Checks {
				if c.Verdict != inspect.Wrong {
					continue
				}
				found = true
				if c.Name != tt.check || !strings.Contains(c.Detail, tt.detail) {
					t.Errorf("%+v, want %q with %q", c, tt.check, tt.detail)
				}
			}
			if !found && tt.check != "" {
				t.Errorf("nothing is wrong, want %q", tt.check)
			}
		})
	}
}

// TestVocabRefused: files that cannot be read are errors that name them.
func TestVocabRefused(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"merge":   {"merges.txt", "a b c\n", `merges.txt:1: "a b c", want two pieces`},
		"vocab":   {"vocab.json", `["a"]`, "vocab.json: begins with [, want an object of piece: id"},
		"added":   {"tokenizer_config.json", `{"added_tokens_decoder":{"x":{}}}`, `tokenizer_config.json: added_tokens_decoder: key "x", want an id`},
		"missing": {"merges.txt", "", "merges.txt: no such file or directory (vocab.json is there)"},
		"speech":  {"speech_tokenizer/config.json", "{", "config.json: unexpected end of JSON input"},
	} {
		files := tiny()
		files[tt.file] = tt.text
		dir := declared(t, tinyConfig())
		for file, text := range files {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
			if text != "" {
				must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
			}
		}
		c, err := inspect.Open(dir)
		must(t, err)
		if _, err = c.Vocab(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
