package talker

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/sugarme/gotch"
)

// Every way to hand over a folder that is no checkpoint gives one error that says which file or tensor, what it is, and
// what was wanted.
func TestLoadRefusals(t *testing.T) {
	const (
		fixture, norm, head = "tiny-f32", "talker.model.norm.weight", "talker.codec_head.weight"
		file, index         = "model.safetensors", "model.safetensors.index.json"
		shard               = "model-00002-of-00003.safetensors"
	)
	original := contents(t, fixture)
	config := edited(t, fixture, nil)
	whole := func(t *testing.T) string { return folder(t, config, original, 1) }
	sharded := func(t *testing.T) string { return folder(t, config, original, 3) }
	with := func(change func(map[string]ckpt.Tensor)) func(*testing.T) string {
		return func(t *testing.T) string {
			tensors := contents(t, fixture)
			change(tensors)
			return folder(t, config, tensors, 1)
		}
	}
	put := func(tensors map[string]ckpt.Tensor, name string, k int, v float32) {
		binary.LittleEndian.PutUint32(tensors[name].Data[4*k:], math.Float32bits(v))
	}
	after := func(make func(*testing.T) string, change func(dir string) error) func(*testing.T) string {
		return func(t *testing.T) string {
			dir := make(t)
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			return dir
		}
	}
	rope := func(key string) func(*testing.T) string {
		return func(t *testing.T) string {
			return folder(t, edited(t, fixture, map[string]any{"talker_config.rope_scaling." + key: "yarn"}), original, 1)
		}
	}

	tests := []struct {
		name  string
		dir   func(t *testing.T) string
		dtype gotch.DType
		want  []string
	}{
		{name: "absent folder", dir: func(t *testing.T) string { return filepath.Join(t.TempDir(), "gone") },
			want: []string{"gone/config.json: no such file"}},
		{name: "empty folder", dir: func(t *testing.T) string { return t.TempDir() }, want: []string{"checkpoint folder", "config.json: no such file"}},
		{name: "a file", dir: func(t *testing.T) string { return filepath.Join(whole(t), file) },
			want: []string{file + " is a file, want a checkpoint folder with config.json"}},
		{name: "config.json missing", dir: after(whole, func(dir string) error { return os.Remove(filepath.Join(dir, "config.json")) }),
			want: []string{"config.json: no such file"}},
		{name: "config.json cut", dir: func(t *testing.T) string { return folder(t, config[:100], original, 1) },
			want: []string{"config.json: unexpected end of JSON"}},
		{name: "config.json an array", dir: func(t *testing.T) string { return folder(t, []byte("[]"), original, 1) },
			want: []string{"config.json", "cannot unmarshal array"}},
		{name: "model type", dir: func(t *testing.T) string {
			return folder(t, []byte(`{"model_type": "qwen3"}`), original, 1)
		}, want: []string{`config.json: key "model_type": value qwen3, want "qwen3_tts"`}},
		{name: "codec folder", dir: func(*testing.T) string { return "testdata/tiny-f32/checkpoint/speech_tokenizer" },
			want: []string{"speech_tokenizer/config.json", "the speech tokenizer's configuration, want the model's folder"}},
		{name: "rope type", dir: rope("rope_type"), want: []string{`config.json: key "talker_config.rope_scaling.rope_type": value yarn, want "default"`}},
		{name: "old rope type", dir: rope("type"), want: []string{`key "talker_config.rope_scaling.type": value yarn, want "default"`}},
		{name: "predictor's rope type", dir: func(t *testing.T) string {
			return folder(t, edited(t, fixture, map[string]any{
				"talker_config.code_predictor_config.rope_scaling": map[string]any{"rope_type": "linear", "factor": 2}}), original, 1)
		}, want: []string{`key "talker_config.code_predictor_config.rope_scaling.rope_type": value linear, want "default"`}},
		{name: "talker saved alone with a vocabulary of its own", dir: func(t *testing.T) string {
			var top map[string]json.RawMessage
			if err := json.Unmarshal(config, &top); err != nil {
				t.Fatal(err)
			}
			return folder(t, top["talker_config"], original, 1)
		}, want: []string{`key "tts_pad_token_id": value 151671, want an id below text_vocab_size 501`}},

		{name: "no weights", dir: after(whole, func(dir string) error { return os.Remove(filepath.Join(dir, file)) }),
			want: []string{"no checkpoint here: neither model.safetensors nor model.safetensors.index.json"}},
		{name: "file cut", dir: after(whole, func(dir string) error { return os.Truncate(filepath.Join(dir, file), 500_000) }),
			want: []string{file + ": truncated: the tensors take"}},
		{name: "header longer than the file", dir: after(whole, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, file), binary.LittleEndian.AppendUint64(nil, 5000), 0o644)
		}), want: []string{file + ": truncated: the header takes 5000 bytes"}},
		{name: "shard missing", dir: after(sharded, func(dir string) error { return os.Remove(filepath.Join(dir, shard)) }),
			want: []string{index + ": shard " + shard + ": no such file"}},
		{name: "shard cut", dir: after(sharded, func(dir string) error { return os.Truncate(filepath.Join(dir, shard), 300_000) }),
			want: []string{shard + ": truncated"}},
		{name: "index not JSON", dir: after(sharded, func(dir string) error { return os.WriteFile(filepath.Join(dir, index), []byte("hello"), 0o644) }),
			want: []string{index + ": index: invalid character 'h'"}},
		{name: "index names an absent tensor", dir: after(sharded, func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, index))
			if err != nil {
				return err
			}
			text = []byte(strings.Replace(string(text), `"weight_map":{`, `"weight_map":{"talker.more":"`+shard+`",`, 1))
			return os.WriteFile(filepath.Join(dir, index), text, 0o644)
		}), want: []string{index, `the weight_map puts "talker.more" in ` + shard + ", which lacks it"}},

		{name: "shape", dir: with(func(m map[string]ckpt.Tensor) {
			x := m[head]
			x.Shape = []int64{x.Shape[1], x.Shape[0]}
			m[head] = x
		}), want: []string{"mis-shaped " + head + ": shape [64 1088], want [1088 64]"}},
		{name: "dtype", dir: with(func(m map[string]ckpt.Tensor) {
			x := m[norm]
			x.DType = "I32"
			m[norm] = x
		}), want: []string{"mis-shaped " + norm + ": dtype I32, want F64, F32, F16 or BF16"}},
		{name: "missing and unexpected", dir: with(func(m map[string]ckpt.Tensor) {
			delete(m, norm)
			delete(m, head)
			for _, name := range []string{"talker.extra", "vocoder.weight"} {
				m[name] = ckpt.Tensor{Name: name, DType: "F32", Shape: []int64{1}, Data: make([]byte, 4)}
			}
		}), want: []string{"2 missing, 2 unexpected, 0 mis-shaped", "missing " + norm, "missing " + head,
			"unexpected talker.extra", "unexpected vocoder.weight"}},
		{name: "thousands unexpected", dir: with(func(m map[string]ckpt.Tensor) {
			for i := range 3000 {
				name := fmt.Sprintf("talker.more.%04d", i)
				m[name] = ckpt.Tensor{Name: name, DType: "F32", Shape: []int64{1}, Data: make([]byte, 4)}
			}
		}), want: []string{"3000 unexpected", "unexpected talker.more.0000", "unexpected … and 2960 more"}},
		{name: "another model", dir: with(func(m map[string]ckpt.Tensor) {
			clear(m)
			m["model.embed_tokens.weight"] = ckpt.Tensor{Name: "model.embed_tokens.weight", DType: "F32", Shape: []int64{1}, Data: make([]byte, 4)}
		}), want: []string{"1 unexpected", "missing … and"}},
		{name: "NaN", dir: with(func(m map[string]ckpt.Tensor) { put(m, head, 1000, float32(math.NaN())) }),
			want: []string{`tensor "` + head + `": element 1000 is NaN or infinite, want finite numbers (dtype F32)`}},
		{name: "infinity", dir: with(func(m map[string]ckpt.Tensor) { put(m, norm, 3, float32(math.Inf(1))) }),
			want: []string{`tensor "` + norm + `": element 3 is NaN or infinite`}},
		{name: "too large for the dtype", dir: with(func(m map[string]ckpt.Tensor) { put(m, norm, 3, 1e6) }), dtype: gotch.Half,
			want: []string{`tensor "` + norm + `": holds numbers of dtype F32 that F16 cannot`}},
		{name: "no float dtype", dir: whole, dtype: gotch.Int64, want: []string{"dtype Int64, want Float, BFloat16, Half or Double"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{DType: tt.dtype}
			dir := tt.dir(t)
			m, err := Load(dir, o)
			if err == nil {
				m.Close()
				t.Fatal("loads, want an error")
			}
			if n := len(err.Error()); n > 10_000 {
				t.Errorf("a message of %d bytes", n)
			}
			for _, want := range append(tt.want, dir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v\nwant %q", err, want)
				}
			}
		})
	}
}
