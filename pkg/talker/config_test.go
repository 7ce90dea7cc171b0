package talker

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// edited is the config.json of a fixture with values replaced; keys are dotted, nil deletes.
func edited(t *testing.T, fixture string, changes map[string]any) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", fixture, "checkpoint", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]any
	if err := json.Unmarshal(raw, &top); err != nil {
		t.Fatal(err)
	}
	for key, v := range changes {
		at := top
		parts := strings.Split(key, ".")
		for _, p := range parts[:len(parts)-1] {
			at = at[p].(map[string]any)
		}
		if at[parts[len(parts)-1]] = v; v == nil {
			delete(at, parts[len(parts)-1])
		}
	}
	if raw, err = json.Marshal(top); err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestConfigErrors(t *testing.T) {
	tests := []struct {
		name    string
		changes map[string]any
		want    []string // parts of the message
	}{
		{"model type", map[string]any{"model_type": "qwen3"}, []string{`key "model_type": value qwen3, want "qwen3_tts"`}},
		{"missing", map[string]any{"talker_config.codec_bos_id": nil, "talker_config.code_predictor_config.head_dim": nil},
			[]string{`key "talker_config.codec_bos_id" is missing`, `key "talker_config.code_predictor_config.head_dim" is missing`}},
		{"wrong type", map[string]any{"talker_config.hidden_size": "wide"}, []string{`key "talker_config.hidden_size": value string, want int64`}},
		{"heads", map[string]any{"talker_config.num_key_value_heads": 3},
			[]string{`key "talker_config.num_key_value_heads": value 3, want a divisor of num_attention_heads 4`}},
		{"several", map[string]any{"talker_config.head_dim": 31, "talker_config.hidden_act": "gelu"},
			[]string{`key "talker_config.head_dim": value 31, want an even number`, `key "talker_config.hidden_act": value gelu, want "silu"`}},
		{"groups", map[string]any{"talker_config.num_code_groups": 4},
			[]string{`key "talker_config.code_predictor_config.num_code_groups": value 16, want 4, as talker_config has`}},
		{"layers", map[string]any{"talker_config.num_hidden_layers": 100000000},
			[]string{`key "talker_config.num_hidden_layers": value 100000000, want at most 1024`}},
		{"many groups", map[string]any{"talker_config.code_predictor_config.num_code_groups": 1 << 40},
			[]string{`key "talker_config.code_predictor_config.num_code_groups": value 1099511627776, want 2 to 256`}},
		{"sections", map[string]any{"talker_config.rope_scaling.mrope_section": []int{8, 8, 8}},
			[]string{`key "talker_config.rope_scaling.mrope_section": value [8 8 8], want three numbers with sum head_dim/2 = 16`}},
		{"rope type", map[string]any{"talker_config.rope_scaling.rope_type": "yarn"},
			[]string{`key "talker_config.rope_scaling.rope_type": value yarn, want "default"`}},
		{"old rope type", map[string]any{"talker_config.rope_scaling.type": "linear"},
			[]string{`key "talker_config.rope_scaling.type": value linear, want "default"`}},
		{"rope of the predictor", map[string]any{"talker_config.code_predictor_config.rope_scaling": map[string]string{"rope_type": "yarn"}},
			[]string{`key "talker_config.code_predictor_config.rope_scaling.rope_type": value yarn, want "default"`}},
		{"sizes", map[string]any{"talker_config.hidden_size": 1 << 40, "talker_config.head_dim": 1 << 60, "talker_config.text_vocab_size": -1},
			[]string{`key "talker_config.hidden_size": value 1099511627776, want at most 1048576`,
				`key "talker_config.head_dim": value 1152921504606846976, want at most 1048576`, `key "talker_config.text_vocab_size": value -1, want 1 to`}},
		{"positions", map[string]any{"talker_config.max_position_embeddings": -5, "talker_config.code_predictor_config.max_position_embeddings": 15},
			[]string{`key "talker_config.max_position_embeddings": value -5, want a positive number`,
				`key "talker_config.code_predictor_config.max_position_embeddings": value 15, want at least num_code_groups 16`}},
		{"numbers", map[string]any{"talker_config.rms_norm_eps": 1, "talker_config.rope_theta": 0.5},
			[]string{`key "talker_config.rms_norm_eps": value 1, want a number between 0 and 1`, `key "talker_config.rope_theta": value 0.5, want at least 1`}},
		{"end", map[string]any{"talker_config.codec_eos_token_id": 63},
			[]string{`key "talker_config.codec_eos_token_id": value 63, want an id above the 64 codes`}},
		{"speaker id", map[string]any{"talker_config.spk_id": map[string]int{"ada": 5000}},
			[]string{`key "talker_config.spk_id.ada": value 5000, want an id below vocab_size 1088`}},
		{"dialect", map[string]any{"talker_config.spk_is_dialect": map[string]string{"ada": "klingon"}},
			[]string{`key "talker_config.spk_is_dialect.ada": value klingon, want false or a key of codec_language_id`}},
		{"dialect type", map[string]any{"talker_config.spk_is_dialect": map[string]int{"ada": 3}},
			[]string{`value 3, want false or the name of a dialect`}},
		{"codebook", map[string]any{"talker_config.code_predictor_config.vocab_size": 65},
			[]string{`key "talker_config.code_predictor_config.vocab_size": value 65, want at most 64, the codes of codebook 0`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseConfig(edited(t, "tiny-f32", tt.changes))
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
		})
	}
}

// The file's text is kept whole: keys that nothing here knows go wherever the configuration goes.
func TestConfigKeepsTheFile(t *testing.T) {
	raw := edited(t, "tiny-sharded", map[string]any{"quantization_config": map[string]any{"format": "pack-quantized"}, "new_key": 1})
	cfg, err := ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(cfg.Raw, raw) {
		t.Error("Raw differs from the file")
	}
	if cfg.Talker.SpeakerTongue["dylan"] != "beijing_dialect" || cfg.Talker.SpeakerTongue["ryan"] != "" {
		t.Errorf("dialects %v, want beijing_dialect for dylan and none for ryan", cfg.Talker.SpeakerTongue)
	}
	if !cfg.Adapter() || cfg.Groups() != 4 || cfg.Codebook() != 64 {
		t.Errorf("adapter %v, groups %d, codebook %d, want true, 4, 64", cfg.Adapter(), cfg.Groups(), cfg.Codebook())
	}
}

// checkpoint copies a fixture's checkpoint, without one tensor and with another one added.
func checkpoint(t *testing.T, fixture, without, with string) string {
	t.Helper()
	from, dir := filepath.Join("testdata", fixture, "checkpoint"), t.TempDir()
	src, err := ckpt.Open(from)
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
		if info.Name != without {
			tensors = append(tensors, ckpt.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: data})
		}
	}
	if with != "" {
		tensors = append(tensors, ckpt.Tensor{Name: with, DType: "F32", Shape: []int64{1}, Data: make([]byte, 4)})
	}
	if err := ckpt.Write(filepath.Join(dir, "model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoadErrors(t *testing.T) {
	const gone = "talker.code_predictor.lm_head.3.weight"
	dir := checkpoint(t, "tiny-bf16", gone, "talker.extra")
	_, err := Load(dir, Options{})
	var e *ckpt.MismatchError
	if !errors.As(err, &e) || len(e.Missing) != 1 || len(e.Unexpected) != 1 || !strings.Contains(err.Error(), dir) ||
		!strings.Contains(err.Error(), gone) || !strings.Contains(err.Error(), "talker.extra") {
		t.Errorf("error %v, want one that names %s and both tensors", err, dir)
	}
	if _, err := Load(t.TempDir(), Options{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("error %v, want one that names config.json", err)
	}
	failed := errors.New("no such scheme")
	_, err = Load("testdata/tiny-bf16/checkpoint", Options{Swap: func(*Model, string) error { return failed }})
	if !errors.Is(err, failed) || !strings.Contains(err.Error(), "tiny-bf16") {
		t.Errorf("error %v, want the swap's, with the folder", err)
	}
}

// Speaker encoder tensors may be there or not; parameters take the dtype that was asked for.
func TestLoadTalkerOnly(t *testing.T) {
	for _, extra := range []string{"", "speaker_encoder.more"} {
		m, err := Load(checkpoint(t, "tiny-sharded", "", extra), Options{DType: gotch.BFloat16})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range nn.Params(m) {
			if p.T.DType() != gotch.BFloat16 {
				t.Errorf("%s is %v, want BFloat16", p.Name, p.T.DType())
			}
		}
		m.Close()
	}
}

// Every linear layer of the model sits in a slot, the adapter only where widths differ.
func TestSlots(t *testing.T) {
	for fixture, want := range map[string]struct {
		slots   int
		adapter bool
	}{
		"tiny-f32":  {2 + 2*7 + 1 + 1 + 2*7 + 15, true},
		"tiny-bf16": {2 + 3*7 + 1 + 0 + 2*7 + 15, false},
	} {
		cfg, err := ReadConfig(filepath.Join("testdata", fixture, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(nn.Slots(m)); n != want.slots || (m.Predictor.Adapter != nil) != want.adapter {
			t.Errorf("%s: %d slots, adapter %v, want %d, %v", fixture, n, m.Predictor.Adapter != nil, want.slots, want.adapter)
		}
		if m.CodecHead.P.(*nn.Linear).W.T != nil {
			t.Errorf("%s: New allocates", fixture)
		}
	}
}

// A model that Init made works: final-normed states have RMS 1 and the heads' rows N(0, 1/in), so logits are N(0, 1) and
// the expected loss is ln V + 1/2. 0.4 is two standard deviations of the labels' mean logit over this batch; logits that
// are all zero or ten times too large lie outside.
func TestInit(t *testing.T) {
	cfg, err := ReadConfig("testdata/tiny-sharded/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := nn.Init(m, 1, 0.02); err != nil {
		t.Fatal(err)
	}
	run(t, func(c *nn.Context) error {
		l, err := m.Loss(c, utterances(t, cfg), Aligned)
		if err != nil {
			return err
		}
		for name, got := range map[string]struct{ loss, want float64 }{
			"talker": {scalar(t, l.Talker), 7.49}, "predictor": {scalar(t, l.Sub), 4.66}, // ln 1088 + 1/2, ln 64 + 1/2
		} {
			if got.loss < got.want-0.4 || got.loss > got.want+0.4 {
				t.Errorf("%s loss %.3f, want about %.2f", name, got.loss, got.want)
			}
		}
		return nil
	})
}

// Sizes that no fixture has: 2 and 3 groups, three key heads, odd widths. Losses are finite and every parameter that an
// objective reaches gets a gradient.
func TestOtherSizes(t *testing.T) {
	for name, changes := range map[string]map[string]any{
		"2 groups, equal widths": {
			"talker_config.num_code_groups": 2, "talker_config.code_predictor_config.num_code_groups": 2,
			"talker_config.hidden_size": 64, "talker_config.code_predictor_config.vocab_size": 40,
		},
		"3 key heads, odd widths": {
			"talker_config.num_code_groups": 3, "talker_config.code_predictor_config.num_code_groups": 3,
			"talker_config.num_attention_heads": 6, "talker_config.num_key_value_heads": 3, "talker_config.head_dim": 10,
			"talker_config.rope_scaling": nil, "talker_config.text_hidden_size": 33, "talker_config.hidden_size": 51,
			"talker_config.code_predictor_config.num_hidden_layers": 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := ParseConfig(edited(t, "tiny-sharded", changes))
			if err != nil {
				t.Fatal(err)
			}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Close)
			if err := nn.Init(m, 1, 0.02); err != nil {
				t.Fatal(err)
			}
			reached(t, m)
		})
	}
}

// reached trains one step's worth and looks at every gradient.
func reached(t *testing.T, m *Model) {
	t.Helper()
	frames := [][]int32{{1, 2, 3}, {4, 5, 6}}
	for i := range frames {
		frames[i] = frames[i][:m.Config.Groups()]
	}
	u := data.Utterance{ID: "u", Text: []int32{40, 41}, Speaker: "ryan", Codes: frames}
	seq, err := TrainingRows(m.Config, u)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := Collate([]Sequence{seq}, PadRight)
	if err != nil {
		t.Fatal(err)
	}
	err = nn.Run(func(c *nn.Context) error {
		for _, p := range nn.Params(m) {
			if err := tensor.RequireGrad(p.T, true); err != nil {
				return err
			}
		}
		l, err := m.Loss(c, batch, Aligned)
		if err != nil {
			return err
		}
		if v := scalar(t, l.Total); !(v > 1 && v < 20) {
			t.Errorf("loss %g, want a few nats", v)
		}
		if err := tensor.Backward(l.Total); err != nil {
			return err
		}
		for _, p := range nn.Params(m) {
			if c.Gradient(p.T) == nil {
				t.Errorf("%s has no gradient", p.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
