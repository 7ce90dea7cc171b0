package codec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// edited is the config.json of a fixture with values replaced; keys are dotted, nil deletes.
func edited(t *testing.T, name string, changes map[string]any) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(fixture(name), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]any
	if err := json.Unmarshal(raw, &top); err != nil {
		t.Fatal(err)
	}
	for key, v := range changes {
		at, leaf := top, key
		if part, rest, ok := strings.Cut(key, "."); ok {
			at, leaf = top[part].(map[string]any), rest
		}
		if at[leaf] = v; v == nil {
			delete(at, leaf)
		}
	}
	if raw, err = json.Marshal(top); err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestConfigErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		changes map[string]any
		want    []string // parts of the message
	}{
		"model type": {map[string]any{"model_type": "mimi"}, []string{`key "model_type": value mimi, want "qwen3_tts_tokenizer_12hz"`}},
		"missing": {map[string]any{"decode_upsample_rate": nil, "decoder_config.head_dim": nil, "encoder_config.num_quantizers": nil},
			[]string{`key "decode_upsample_rate" is missing`, `key "decoder_config.head_dim" is missing`, `key "encoder_config.num_quantizers" is missing`}},
		"no half":        {map[string]any{"encoder_config": nil}, []string{`key "encoder_config" is missing`}},
		"wrong type":     {map[string]any{"decoder_config.hidden_size": "wide"}, []string{`key "decoder_config.hidden_size": value string, want int64`}},
		"wrong in lists": {map[string]any{"decoder_config.upsample_rates": "5"}, []string{`key "decoder_config.upsample_rates": value string`}},
		"several": {map[string]any{"decoder_config.head_dim": 7, "encoder_config.hidden_act": "silu", "encoder_config.audio_channels": 2},
			[]string{`"decoder_config.head_dim": value 7, want an even number`, `"encoder_config.hidden_act": value silu, want "gelu"`, `"encoder_config.audio_channels": value 2, want 1`}},
		"groups":      {map[string]any{"encoder_valid_num_quantizers": 5}, []string{`key "encoder_valid_num_quantizers": value 5, want 4, as decoder_config.num_quantizers`}},
		"many groups": {map[string]any{"decoder_config.num_quantizers": 1 << 40}, []string{`"decoder_config.num_quantizers": value 1099511627776, want 2 to 256`}},
		"layers":      {map[string]any{"encoder_config.num_hidden_layers": 1000000}, []string{`"encoder_config.num_hidden_layers": value 1000000, want 1 to 1024`}},
		"wide":        {map[string]any{"decoder_config.latent_dim": 1 << 33}, []string{`"decoder_config.latent_dim": value 8589934592, want 1 to 65536`}},
		"zero rate":   {map[string]any{"decoder_config.upsample_rates": []int{5, 0}}, []string{`"decoder_config.upsample_rates": value [5 0], want at most 8 positive numbers`}},
		"huge rates":  {map[string]any{"encoder_config.upsampling_ratios": []int{1 << 30, 1 << 30, 1 << 30}}, []string{`"encoder_config.upsampling_ratios"`}},
		"hop":         {map[string]any{"decode_upsample_rate": 1920}, []string{`"decode_upsample_rate": value 1920, want 120, the product`}},
		"encode hop":  {map[string]any{"encode_downsample_rate": 240}, []string{`"encode_downsample_rate": value 240, want 60 or 120`}},
		"frame rate":  {map[string]any{"encoder_config._frame_rate": 12.5}, []string{`"encoder_config._frame_rate": value 12.5, want 200`}},
		"halved away": {map[string]any{"decoder_config.decoder_dim": 4}, []string{`"decoder_config.decoder_dim": value 4, want at least 8: each of 3 blocks halves it`}},
		"codebooks":   {map[string]any{"encoder_config.codebook_size": 32}, []string{`"decoder_config.codebook_size": value 64, want 32, as encoder_config has`}},
		"odd vectors": {map[string]any{"decoder_config.codebook_dim": 33}, []string{`"decoder_config.codebook_dim": value 33, want an even number`}},
		"window":      {map[string]any{"decoder_config.sliding_window": 0}, []string{`"decoder_config.sliding_window": value 0, want 1 to`}},
		"padding":     {map[string]any{"encoder_config.pad_mode": "reflect"}, []string{`"encoder_config.pad_mode": value reflect, want "constant"`}},
		"not causal":  {map[string]any{"encoder_config.use_causal_conv": false}, []string{`"encoder_config.use_causal_conv": value false, want true`}},
		"dilation": {map[string]any{"encoder_config.dilation_growth_rate": 200, "encoder_config.num_residual_layers": 9},
			[]string{`"encoder_config.dilation_growth_rate": value 200, want dilations up to`}},
	} {
		_, err := ParseConfig(edited(t, "tiny-sharded", tt.changes))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q does not say %q", name, err, part)
			}
		}
	}
	if _, err := ParseConfig([]byte(`{`)); err == nil {
		t.Error("half an object is no error")
	}
	if _, err := ReadConfig(t.TempDir()); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("error %v without a file, want its name", err)
	}
}

// What the file may leave out.
func TestOptionalKeys(t *testing.T) {
	cfg, err := ParseConfig(edited(t, "tiny-sharded", map[string]any{"encoder_config._frame_rate": nil, "decoder_config.attention_bias": nil,
		"encoder_config.use_conv_shortcut": nil, "decoder_config.semantic_codebook_size": nil, "encoder_config.sliding_window": nil}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg, Both); err != nil {
		t.Error(err)
	}
	if _, err := New(cfg, Parts(7)); err == nil || !strings.Contains(err.Error(), "parts 7") {
		t.Errorf("error %v, want the bad parts", err)
	}
}
