package speaker

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
)

// copyWith writes a checkpoint folder that edit has changed: the parsed config.json and the tensors.
func copyWith(t *testing.T, edit func(cfg map[string]any, tensors *[]ckpt.Tensor)) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(checkpoint("tiny-f32"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cfg map[string]any
	if err := json.Unmarshal(raw, &cfg); err != nil {
		t.Fatal(err)
	}
	src, err := ckpt.Open(checkpoint("tiny-f32"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var tensors []ckpt.Tensor
	for _, info := range src.Infos() {
		_, data, err := src.Bytes(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, ckpt.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: data})
	}
	edit(cfg, &tensors)
	dir := t.TempDir()
	if raw, err = json.Marshal(cfg); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := ckpt.Write(filepath.Join(dir, "model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func wantError(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: error %v, want %q in it", what, err, p)
		}
	}
}

func TestListsAllWrongTensors(t *testing.T) {
	dir := copyWith(t, func(_ map[string]any, tensors *[]ckpt.Tensor) {
		for i := range *tensors {
			switch v := &(*tensors)[i]; v.Name {
			case "speaker_encoder.fc.bias":
				v.Name = "speaker_encoder.fc.offset"
			case "speaker_encoder.fc.weight":
				v.Shape = []int64{192, 64, 1}
			case "talker.codec_head.weight":
				v.Shape = []int64{v.Shape[1], v.Shape[0]} // not the encoder's business
			}
		}
	})
	_, err := Load(dir, Options{})
	wantError(t, "wrong tensors", err, dir, "1 missing, 1 unexpected, 1 mis-shaped", "missing speaker_encoder.fc.bias [64]",
		"unexpected speaker_encoder.fc.offset", "speaker_encoder.fc.weight: shape [192 64 1], want [64 192 1]")
}

func TestCheckpointsWithoutEncoder(t *testing.T) {
	_, err := Load(checkpoint("tiny-sharded"), Options{})
	if !errors.Is(err, ErrNone) {
		t.Errorf("a custom voice checkpoint: %v", err)
	}
	wantError(t, "custom voice", err, "config.json", `value "custom_voice"`, "base checkpoints have one")

	dir := copyWith(t, func(cfg map[string]any, _ *[]ckpt.Tensor) { cfg["tts_model_type"] = "custom_voice" })
	if _, err = Load(dir, Options{}); !errors.Is(err, ErrNone) {
		t.Errorf("a fine-tuned checkpoint that kept an encoder: %v", err)
	}

	dir = copyWith(t, func(_ map[string]any, tensors *[]ckpt.Tensor) {
		var rest []ckpt.Tensor
		for _, v := range *tensors {
			if !strings.HasPrefix(v.Name, prefix) {
				rest = append(rest, v)
			}
		}
		*tensors = rest
	})
	_, err = Load(dir, Options{})
	wantError(t, "base without tensors", err, dir, "no tensors speaker_encoder.*", "want the original base checkpoint")
	if errors.Is(err, ErrNone) {
		t.Error("a base checkpoint that lost its encoder is taken for one of a kind without")
	}
	_, err = Load(t.TempDir(), Options{})
	wantError(t, "an empty folder", err, "speaker: ", "config.json", "no such file")
}

func TestBadConfigs(t *testing.T) {
	tests := map[string]string{
		`{`:                                   "unexpected end of JSON input",
		`[]`:                                  "want struct",
		`{}`:                                  `key "tts_model_type" is missing, want "base"`,
		`{"enc_dim": 8}`:                      `speaker_encoder_config.enc_dim": value 8, want talker_config.hidden_size 64`,
		`{"enc_dim": "64"}`:                   `key "speaker_encoder_config.enc_dim": value string, want int64`,
		`{"enc_dim": 0}`:                      `enc_dim": value 0, want 1 to 65536`,
		`{"mel_dim": -1}`:                     `mel_dim": value -1, want 1 to 4096`,
		`{"mel_dim": 1000000000000}`:          `mel_dim": value 1000000000000, want 1 to 4096`,
		`{"enc_channels": [32]}`:              `enc_channels": value [32], want 3 to 66 numbers`,
		`{"enc_channels": null}`:              `enc_channels": value [], want 3 to 66 numbers`,
		`{"enc_channels": [32,32,32,32,97]}`:  `enc_channels": value 97, want 96 in the end, the sum of the blocks' channels`,
		`{"enc_channels": [32,32,40,32,104]}`: `enc_channels": value 40, want the 32 of the first layer`,
		`{"enc_channels": [32,32,32,32,0]}`:   `enc_channels": value 0, want 1 to 65536`,
		`{"enc_kernel_sizes": [5,3,3,3]}`:     `enc_kernel_sizes": value [5 3 3 3], want 5 numbers, as enc_channels has`,
		`{"enc_kernel_sizes": [5,3,0,3,1]}`:   `enc_kernel_sizes": value 0, want 1 to 1024`,
		`{"enc_dilations": [1,2]}`:            `enc_dilations": value [1 2], want 5 numbers`,
		`{"enc_dilations": [1,2,3,-4,1]}`:     `enc_dilations": value -4, want 1 to 1024`,
		`{"enc_res2net_scale": 5}`:            `enc_channels": value 32, want a multiple of enc_res2net_scale 5`,
		`{"enc_res2net_scale": 0}`:            `enc_res2net_scale": value 0, want 1 to`,
		`{"enc_se_channels": 0}`:              `enc_se_channels": value 0`,
		`{"enc_attention_channels": 0}`:       `enc_attention_channels": value 0`,
		`{"sample_rate": 16000}`:              `sample_rate": value 16000, want 24000`,
	}
	raw, err := os.ReadFile(filepath.Join(checkpoint("tiny-f32"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for change, want := range tests {
		text := []byte(change)
		if len(change) > 2 { // keys of the encoder
			var cfg map[string]any
			if err := json.Unmarshal(raw, &cfg); err != nil {
				t.Fatal(err)
			}
			part := cfg["speaker_encoder_config"].(map[string]any)
			if err := json.Unmarshal([]byte(change), &part); err != nil {
				t.Fatal(err)
			}
			if text, err = json.Marshal(cfg); err != nil {
				t.Fatal(err)
			}
		}
		_, err := parseConfig(text)
		wantError(t, change, err, want)
	}
}

// Two keys are published; the others have defaults. A null part is one without keys.
func TestConfigDefaults(t *testing.T) {
	c, err := parseConfig([]byte(`{"tts_model_type": "base", "speaker_encoder_config": {"enc_dim": 2048, "sample_rate": 24000}}`))
	if err != nil || c.Width != 2048 || c.Mels != 128 || len(c.Channels) != 5 || c.Channels[4] != 1536 || c.Kernels[0] != 5 ||
		c.Dilations[3] != 4 || c.AttentionChannels != 128 || c.Scale != 8 || c.SEChannels != 128 {
		t.Errorf("%+v, error %v", c, err)
	}
	if c.MinFrames() != 5 || c.MinSamples() != 1280 {
		t.Errorf("at least %d frames, %d samples, want 5 and 1280", c.MinFrames(), c.MinSamples())
	}
	if c, err = parseConfig([]byte(`{"tts_model_type": "base", "speaker_encoder_config": null}`)); err != nil || c.Width != 1024 {
		t.Errorf("%+v, error %v", c, err)
	}
}

func TestBadClips(t *testing.T) {
	e := load(t, "tiny-f32", Options{})
	least := e.Config.MinSamples()
	embed(t, e, make([]float32, least)) // silence is a voice of sorts
	_, err := e.Embed(make([]float32, least-1))
	wantError(t, "short", err, "clip of 1279 samples, want at least 1280 (54 ms at 24000 Hz)")
	_, err = e.Embed(nil)
	wantError(t, "empty", err, "clip of 0 samples")
	x := make([]float32, least)
	x[77] = float32(math.Inf(-1))
	_, err = e.Embed(x)
	wantError(t, "infinite", err, "sample 77 is -Inf")
	for i := range x {
		x[i] = float32(1e38 * math.Sin(float64(i)))
	}
	_, err = e.Embed(x)
	wantError(t, "loud", err, "are the samples within ±1?")
	e.Close()
	_, err = e.Embed(make([]float32, least))
	wantError(t, "closed", err, "speaker: ")
}

// The shortest clip of odd encoders: one sample less is refused, that many is served.
func TestShortestClip(t *testing.T) {
	for _, cfg := range oddConfigs() {
		e := fresh(t, cfg)
		embed(t, e, make([]float32, cfg.MinSamples()))
		if _, err := e.Embed(make([]float32, cfg.MinSamples()-1)); err == nil {
			t.Errorf("%d samples: no error", cfg.MinSamples()-1)
		}
	}
}

// FuzzConfig: no text may crash the parser, and what it accepts declares an encoder of a size that it states.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"tts_model_type": "base", "speaker_encoder_config": {"enc_dim": 8, "enc_channels": [8, 8, 8]}}`))
	f.Add([]byte(`{"tts_model_type": "base", "speaker_encoder_config": {"enc_kernel_sizes": [1, 2, 3, 4, 9223372036854775807]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseConfig(raw)
		if err != nil {
			return
		}
		if _, err := New(c); err != nil {
			t.Errorf("%s: accepted, but %v", raw, err)
		}
		if n := c.MinFrames(); n < 1 || n > mostSpan*mostSpan {
			t.Errorf("%s: at least %d frames", raw, n)
		}
	})
}
