package finetune_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/finetune"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch"
)

// From a file to a checkpoint that knows the speaker: what is in the folder, and that it speaks with the voice.
func TestCheckpoint(t *testing.T) {
	for fixture, dtype := range map[string]gotch.DType{"tiny-f32": gotch.Float, "tiny-bf16": gotch.BFloat16} {
		t.Run(fixture, func(t *testing.T) {
			list, dir := rows(t, fixture, 7), t.TempDir()
			m := load(t, source(fixture), dtype)
			res, err := finetune.Job{Source: source(fixture), Model: m, Rows: list, Held: list[:2], Config: config(), Seed: 1, Dir: dir}.Run(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			// 7 utterances: 4 batches, of which 4 make an update; 2 epochs.
			if res.Updates != 2 || len(res.Checkpoints) != 2 || res.Held == nil || !(res.Held.Total() > 0) {
				t.Fatalf("result %+v, want 2 updates and 2 checkpoints", res)
			}
			last := filepath.Join(dir, "checkpoint-epoch-1")
			compareFolders(t, source(fixture), last, list[0].Vector)
			speaks(t, m, last, list[0].Vector)
		})
	}
}

// compareFolders holds a checkpoint against its source.
func compareFolders(t *testing.T, from, to string, vector []float32) {
	t.Helper()
	src, err := ckpt.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := ckpt.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	var want []ckpt.Info
	for _, info := range src.Infos() {
		if !strings.HasPrefix(info.Name, "speaker_encoder.") {
			want = append(want, info)
		}
	}
	if d := cmp.Diff(want, dst.Infos()); d != "" {
		t.Errorf("tensors (-source without speaker encoder +checkpoint):\n%s", d)
	}

	var before, after map[string]any
	for path, into := range map[string]*map[string]any{from: &before, to: &after} {
		text, err := os.ReadFile(filepath.Join(path, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	before["tts_model_type"] = "custom_voice"
	tc := before["talker_config"].(map[string]any)
	tc["spk_id"], tc["spk_is_dialect"] = map[string]any{"ada": float64(slot)}, map[string]any{"ada": false}
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("config.json (-want +checkpoint):\n%s", d)
	}

	for _, name := range []string{"vocab.json", "merges.txt", "tokenizer_config.json", "generation_config.json", "preprocessor_config.json",
		"speech_tokenizer/config.json", "speech_tokenizer/model.safetensors"} {
		a, errA := os.ReadFile(filepath.Join(from, name))
		b, errB := os.ReadFile(filepath.Join(to, name))
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			t.Errorf("%s is not the source's: %v, %v", name, errA, errB)
		}
	}
	if len(vector) == 0 {
		t.Error("no vector")
	}
}

// speaks reloads a checkpoint: parameters are those of the trained model, rounded to the file's dtype, and a prompt with
// the preset name embeds to the same rows as the base prompt with the vector.
func speaks(t *testing.T, trained *talker.Model, dir string, vector []float32) {
	t.Helper()
	m := load(t, dir, trained.DType)
	want, have := values(t, trained), values(t, m)
	const codec = "talker.model.codec_embedding.weight"
	H := len(vector)
	for name := range want {
		w, h := want[name], have[name]
		if name == codec {
			row := h[slot*H : (slot+1)*H]
			for i := range row {
				if d := row[i] - vector[i]; d > 0.01*max(vector[i], -vector[i]) || -d > 0.01*max(vector[i], -vector[i]) {
					t.Errorf("row %d, number %d is %g, want %g", slot, i, row[i], vector[i])
				}
			}
			w, h = slices.Concat(w[:slot*H], w[(slot+1)*H:]), slices.Concat(h[:slot*H], h[(slot+1)*H:])
		}
		if !slices.Equal(w, h) {
			t.Errorf("%s differs from the trained model's", name)
		}
	}
	voice, err := m.Config.PresetVoice("Ada")
	if err != nil {
		t.Fatal(err)
	}
	err = nn.Run(func(c *nn.Context) error {
		embedded := func(m *talker.Model, v talker.Voice) ([]float32, error) {
			p, err := talker.DecodingRows(m.Config, talker.Request{ID: "x", Text: []int32{5, 6, 7}, Voice: &v})
			if err != nil {
				return nil, err
			}
			b, err := talker.Collate([]talker.Sequence{p.Sequence}, talker.PadLeft)
			if err != nil {
				return nil, err
			}
			return tensor.Floats(m.Embed(c, b))
		}
		base, err := embedded(trained, talker.Voice{Vector: vector})
		if err != nil {
			return err
		}
		preset, err := embedded(m, voice)
		if !slices.Equal(base, preset) {
			t.Error("a prompt with the name differs from one with the vector")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A run that is stopped between two epochs, and in the middle of one, ends with the parameters of one that was not.
func TestResume(t *testing.T) {
	list := rows(t, "tiny-bf16", 5)
	cfg := config()
	cfg.Accumulate, cfg.Epochs, cfg.CheckpointEvery, cfg.LogEvery = 2, 3, 1, 1
	job := func(dir string) finetune.Job {
		return finetune.Job{Source: source("tiny-bf16"), Model: load(t, source("tiny-bf16"), gotch.BFloat16), Rows: list, Config: cfg, Seed: 3, Dir: dir}
	}
	whole := job(t.TempDir())
	if _, err := whole.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for sessions := 0; ; sessions++ {
		ctx, cancel := context.WithCancel(context.Background())
		j := job(dir)
		j.Resume, j.Log = true, stopAfter{2, cancel, new(int)}
		j.Config.GradientCheckpointing = sessions%2 == 1 // the same to the bit
		_, err := j.Run(ctx)
		if err == nil {
			if sessions < 2 {
				t.Errorf("done after %d interruptions, want a few", sessions)
			}
			if d := cmp.Diff(values(t, whole.Model), values(t, j.Model)); d != "" {
				t.Errorf("interrupted and not (-whole +resumed):\n%.300s", d)
			}
			break
		}
		if !errors.Is(err, train.ErrInterrupted) || sessions > 20 {
			t.Fatal(err)
		}
	}
	for epoch := range 3 {
		a, _ := os.ReadFile(filepath.Join(whole.Dir, finetune.CheckpointDir(epoch), "model.safetensors"))
		b, err := os.ReadFile(filepath.Join(dir, finetune.CheckpointDir(epoch), "model.safetensors"))
		if err != nil || !slices.Equal(a, b) {
			t.Errorf("epoch %d: the checkpoints differ: %v", epoch, err)
		}
	}

	moved := job(dir)
	moved.Resume, moved.Rows = true, slices.Clone(list)
	for i := range moved.Rows {
		moved.Rows[i].ID, moved.Rows[i].From.RefAudio = "elsewhere/"+list[i].ID, "elsewhere/ref.wav"
	}
	if _, err := moved.Run(context.Background()); err != nil {
		t.Errorf("going on with data that were moved: %v", err)
	}
	other := job(dir)
	other.Resume, other.Rows = true, list[:4]
	if _, err := other.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "data_sha256 is") {
		t.Errorf("going on with other data gives %v", err)
	}
}

// stopAfter cancels when n lines of progress have been written.
type stopAfter struct {
	n      int
	cancel func()
	seen   *int
}

func (s stopAfter) Write(p []byte) (int, error) {
	if *s.seen++; *s.seen >= s.n {
		s.cancel()
	}
	return len(p), nil
}

// How the utterances of an update are cut into forward passes does not change its loss.
func TestSharesAddUp(t *testing.T) {
	list := rows(t, "tiny-f32", 5)
	m := load(t, source("tiny-f32"), gotch.Float)
	whole, err := finetune.Measure(context.Background(), m, list, 5)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := finetune.Measure(context.Background(), m, list, 2)
	if err != nil {
		t.Fatal(err)
	}
	near := func(a, b float64) bool { return a-b < 1e-5 && b-a < 1e-5 }
	if !near(whole.Code0, parts.Code0) || !near(whole.Codes, parts.Codes) || whole.Code0 < 1 || whole.Codes < 1 {
		t.Errorf("loss %+v at once, %+v in parts", whole, parts)
	}
}
