package finetune_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/finetune"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// Everything that can be wrong with the data is an error that names the file, the row and what was wanted, before any
// training.
func TestReadRefusals(t *testing.T) {
	ref := clip(t, 24000)
	with := func(key string, value any) []line {
		l := lines(2, 16, ref)
		if l[1][key] = value; value == nil {
			delete(l[1], key)
		}
		return l
	}
	short := filepath.Join(t.TempDir(), "not.wav")
	if err := os.WriteFile(short, []byte("this is no sound"), 0o644); err != nil {
		t.Fatal(err)
	}
	frame := func(n, code int) [][]int {
		f := make([]int, n)
		f[n-1] = code
		return [][]int{f}
	}
	tests := []struct {
		name string
		rows []line
		want string
	}{
		{"no rows", nil, "ada.jsonl: no utterances, want at least one"},
		{"no codes", with("audio_codes", nil), `ada.jsonl:2: key "audio_codes" is missing or empty`},
		{"wrong number of codes", with("audio_codes", frame(15, 0)), `utterance "`},
		{"a code of another codebook", with("audio_codes", frame(16, 64)), "audio_codes[0][15] is 64, want 0 … 63"},
		{"no text", with("text", nil), `ada.jsonl:2: key "text_ids" is missing or empty`},
		{"empty text", with("text", "  "), `ada.jsonl:2: key "text"`},
		{"an id beyond the vocabulary", with("text_ids", []int{900}), "text_ids[0] is 900, want 0 … 500"},
		{"no voice", with("ref_audio", nil), "no ref_audio and no speaker_vector"},
		{"absent clip", with("ref_audio", "gone.wav"), "ref_audio: "},
		{"clip that is no WAV", with("ref_audio", short), short},
		{"vector of another width", with("speaker_vector", []float64{1, 2, 3}), "speaker_vector has 3 numbers, want 64"},
		{"unknown key", with("audio_code", 1), `unknown key "audio_code"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.rows)
			_, _, err := read(t, "tiny-f32", path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v\nwant %q and %s", err, tt.want, path)
			}
		})
	}
	if _, _, err := read(t, "tiny-f32", "gone.jsonl"); err == nil || !strings.Contains(err.Error(), "gone.jsonl: no such file") {
		t.Errorf("an absent file gives %v", err)
	}
	if _, _, err := read(t, "tiny-sharded", write(t, lines(1, 4, ref))); err == nil || !strings.Contains(err.Error(), `tts_model_type is "custom_voice", want "base"`) {
		t.Errorf("a custom-voice checkpoint gives %v", err)
	}
}

// A clip of another rate is resampled, and the reader says so; a row's own vector wins over its clip.
func TestVoices(t *testing.T) {
	rows := append(lines(1, 16, clip(t, 24000)), lines(1, 16, clip(t, 16000))...)
	own := make([]float64, 64)
	own[5] = 2
	rows = append(rows, lines(1, 16, "gone.wav")...)
	rows[2]["speaker_vector"] = own
	list, log, err := read(t, "tiny-f32", write(t, rows))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "ref-16000.wav: resampled from 16000 to 24000 Hz") || strings.Contains(log, "ref-24000") {
		t.Errorf("remarks %q, want one about the clip of 16 kHz", log)
	}
	var dot, a, b float64
	for i, x := range list[0].Vector {
		y := list[1].Vector[i]
		dot, a, b = dot+float64(x*y), a+float64(x*x), b+float64(y*y)
	}
	if dot*dot < 0.98*a*b || slices.Equal(list[0].Vector, list[1].Vector) {
		t.Errorf("cosine² %.3f between both rates of one sound, want about 1", dot*dot/(a*b))
	}
	cfg, err := talker.ReadConfig(source("tiny-f32"))
	if err != nil {
		t.Fatal(err)
	}
	path := clip(t, 24000)
	r := finetune.Reader{Source: source("tiny-f32"), Root: filepath.Dir(path), Config: cfg}
	defer r.Close()
	if l, err := r.Read(write(t, lines(1, 16, filepath.Base(path)))); err != nil || !slices.Equal(l[0].Vector, list[0].Vector) {
		t.Errorf("a path below root gives %v, want the same voice", err)
	}
	if list[2].Vector[5] != 2 {
		t.Errorf("vector %v, want the row's own", list[2].Vector)
	}
}

func TestConfigRefusals(t *testing.T) {
	tests := []struct {
		name string
		edit func(c *finetune.Config)
		want []string
	}{
		{"empty", func(c *finetune.Config) { *c = finetune.Config{Objective: "aligned", Optim: c.Optim} },
			[]string{`data is "", want a JSONL file`, `speaker is "", want a name`, "epochs is 0", "batch is 0", "accumulate is 0", "log_every is 0"}},
		{"capitals", func(c *finetune.Config) { c.Speaker = "Ada" }, []string{`speaker is "Ada", want "ada": names are looked up in lower case`}},
		{"spaces", func(c *finetune.Config) { c.Speaker = " ada" }, []string{`speaker is " ada", want a name`}},
		{"script", func(c *finetune.Config) { c.Objective = talker.Script }, []string{`objective "script" shifts`, "compare = true"}},
		{"objective", func(c *finetune.Config) { c.Objective = "best"; c.Compare = true }, []string{`objective "best", want "script"`}},
		{"rate", func(c *finetune.Config) { c.Optim.LR = 0 }, []string{"lr is 0"}},
	}
	for _, tt := range tests {
		c := config()
		tt.edit(&c)
		err := c.Validate()
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", tt.name, err, want)
			}
		}
	}
	c := config()
	if c.Objective, c.Compare = talker.Script, true; c.Validate() != nil {
		t.Errorf("script with compare gives %v", c.Validate())
	}
}

// What only the checkpoint can tell is checked before the first update: nothing is left in the run folder.
func TestJobRefusals(t *testing.T) {
	list := rows(t, "tiny-f32", 2)
	m := load(t, source("tiny-f32"), gotch.Float)
	custom := load(t, source("tiny-sharded"), gotch.Float)
	tests := []struct {
		name string
		edit func(j *finetune.Job)
		want string
	}{
		{"default slot of a small table", func(j *finetune.Job) { j.Config.Slot = 3000 }, "slot is 3000, want a free row of the codec embedding beyond the codes, 64 … 1087"},
		{"slot of a code", func(j *finetune.Job) { j.Config.Slot = 3 }, "slot is 3, want a free row"},
		{"slot of a control token", func(j *finetune.Job) { j.Config.Slot = 165 }, "slot is 165, which is codec_bos_id"},
		{"slot of a language", func(j *finetune.Job) { j.Config.Slot = 66 }, "slot is 66, which is codec_language_id.english"},
		{"no rows", func(j *finetune.Job) { j.Rows = nil }, "no utterances, want at least one"},
		{"a row without voice", func(j *finetune.Job) { j.Rows = slices.Clone(list); j.Rows[0].Vector, j.Rows[1].Vector = nil, nil }, "vector has 0 numbers, want 64"},
		{"a source of other shapes", func(j *finetune.Job) { j.Source = source("tiny-bf16") }, "want the checkpoint that the model was loaded from"},
		{"no source", func(j *finetune.Job) { j.Source = "gone" }, "gone/config.json: no such file"},
		{"not a base checkpoint", func(j *finetune.Job) { j.Model = custom }, `tts_model_type is "custom_voice", want "base"`},
	}
	for _, tt := range tests {
		j := finetune.Job{Source: source("tiny-f32"), Model: m, Rows: list, Config: config(), Dir: filepath.Join(t.TempDir(), "run")}
		tt.edit(&j)
		_, err := j.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
		if _, err := os.Stat(j.Dir); err == nil {
			t.Errorf("%s: the run folder was made", tt.name)
		}
	}
}

// A checkpoint that cannot be written leaves the one before as it was.
func TestSaveRefusals(t *testing.T) {
	m := load(t, source("tiny-f32"), gotch.Float)
	voice := finetune.Voice{Name: "ada", Slot: slot, Vector: make([]float32, 64)}
	dir := filepath.Join(t.TempDir(), "checkpoint-epoch-0")
	if err := finetune.Save(dir, m, source("tiny-f32"), voice); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"another checkpoint's source": source("tiny-bf16"), "no source": t.TempDir()} {
		err := finetune.Save(dir, m, from, voice)
		after, readErr := os.ReadFile(filepath.Join(dir, "model.safetensors"))
		if err == nil || !strings.Contains(err.Error(), from) || readErr != nil || !slices.Equal(before, after) {
			t.Errorf("%s: error %v, %v; the old checkpoint is whole: %v", name, err, readErr, slices.Equal(before, after))
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
