package export

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/gguf"
	"github.com/qakd/qakd/pkg/quant"
)

// damage changes one thing of a folder: a key of quantization_config, or a tensor.
type damage struct {
	name, format, want string
	config             map[string]any
	tensors            func(name string, t *ckpt.Tensor) (keep bool)
	meta               map[string]string
}

func drop(suffix string) func(string, *ckpt.Tensor) bool {
	return func(name string, _ *ckpt.Tensor) bool { return !strings.HasSuffix(name, "layers.0.mlp.up_proj"+suffix) }
}

func change(suffix string, f func(*ckpt.Tensor)) func(string, *ckpt.Tensor) bool {
	return func(name string, t *ckpt.Tensor) bool {
		if strings.HasSuffix(name, "talker.model.layers.0.mlp.up_proj"+suffix) {
			f(t)
		}
		return true
	}
}

func flat(t *ckpt.Tensor)    { t.Shape = []int64{t.Shape[0] * t.Shape[1]} }
func spoil(t *ckpt.Tensor)   { t.Data[0] ^= 1 }
func widen(t *ckpt.Tensor)   { t.DType, t.Shape[len(t.Shape)-1] = "U8", t.Shape[len(t.Shape)-1]*4 }
func negate(t *ckpt.Tensor)  { t.Data[1] ^= 0x80 }
func swapped(t *ckpt.Tensor) { t.Shape[0], t.Shape[1] = t.Shape[1], t.Shape[0] }

var damages = []damage{
	{name: "method", format: "gptq", config: map[string]any{"quant_method": "quip"}, want: `quant_method "quip", want compressed-tensors, gptq, awq or torchao`},
	{name: "bits", format: "gptq", config: map[string]any{"bits": 3}, want: "3 bits for talker.code_predictor"},
	{name: "group", format: "gptq-v2", config: map[string]any{"group_size": 64}, want: "2 groups of a row of 64, want groups of 64"},
	{name: "expression", format: "gptq", config: map[string]any{"dynamic": map[string]any{"+:(": map[string]any{}}}, want: `dynamic "+:("`},
	{name: "order", format: "gptq", tensors: change(".g_idx", spoil), want: "inputs in another order (desc_act) are not read"},
	{name: "zeros of a symmetric layer", format: "gptq", tensors: change(".qzeros", spoil), want: "of a symmetric layer is"},
	{name: "no scales", format: "gptq", tensors: drop(".scales"), want: `no tensor "talker.`},
	{name: "no zeros", format: "awq", tensors: drop(".qzeros"), want: `up_proj.qzeros"`},
	{name: "shape", format: "awq", tensors: change(".qweight", flat), want: "want I32 of two dimensions"},
	{name: "dtype", format: "awq", tensors: change(".qweight", widen), want: "want I32 of two dimensions"},
	{name: "scales' shape", format: "gptq", tensors: change(".scales", swapped), want: "up_proj.scales F16 [256 4], want F16 [4 256]"},
	{name: "version", format: "awq", config: map[string]any{"version": "gemv"}, want: `version "gemv"`},
	{name: "no description", format: "torchao", meta: map[string]string{}, want: "want the description of an Int4Tensor"},
	{name: "another tensor", format: "torchao", meta: map[string]string{
		"talker.codec_head.weight": `{"_type": "Int8Tensor"}`, "talker.code_predictor.lm_head.0.weight": `{"_type": "Int8Tensor"}`}, want: "is a Int8Tensor of block_size"},
	{name: "float zero", format: "torchao", tensors: change("._weight_zero_point", func(t *ckpt.Tensor) { t.Data[1] = 0x3f }), want: "want a whole multiple that is a code"},
	{name: "no codes' size", format: "compressed-tensors", tensors: drop(".weight_shape"), want: `no tensor "talker.`},
	{name: "words", format: "compressed-tensors", tensors: change(".weight_packed", flat), want: "want I32 [256 16]"},
	{name: "format", format: "compressed-tensors", config: map[string]any{"format": "marlin-24"}, want: `format "marlin-24"`},
}

// Whatever is wrong with a folder is one error that names the tensor or the key, and nothing is written.
func TestDamagedFolders(t *testing.T) {
	dir, _ := packed(t, nil, nil)
	folders := map[string]string{}
	for _, d := range damages {
		if folders[d.format] == "" {
			folders[d.format] = filepath.Join(t.TempDir(), d.format)
			must(Export(dir, folders[d.format], Options{Format: d.format}))(t)
		}
		bad, out := damaged(t, folders[d.format], d), filepath.Join(t.TempDir(), "out")
		_, err := Import(bad, out)
		if err == nil || !strings.Contains(err.Error(), d.want) {
			t.Errorf("%s, %s: error %v, want %q", d.format, d.name, err, d.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s, %s: a folder was written all the same", d.format, d.name)
		}
	}
}

func damaged(t *testing.T, dir string, d damage) string {
	t.Helper()
	out := t.TempDir()
	config, raw, err := readConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	var q map[string]any
	if err := json.Unmarshal(raw, &q); err != nil {
		t.Fatal(err)
	}
	for k, v := range d.config {
		q[k] = v
	}
	text := must((&model{config: config}).configWith(q))(t)
	if err := os.WriteFile(filepath.Join(out, "config.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	src := must(ckpt.Open(dir))(t)
	defer src.Close()
	var list []ckpt.Tensor
	for _, info := range src.Infos() {
		x := copied(src, info)
		x.Shape = append([]int64{}, x.Shape...)
		x.Data, x.Stream = must(content(&x))(t), nil
		if d.tensors == nil || d.tensors(info.Name, &x) {
			list = append(list, x)
		}
	}
	meta := src.Metadata()
	if d.meta != nil {
		meta = d.meta
	}
	if err := ckpt.Write(filepath.Join(out, "model.safetensors"), list, meta); err != nil {
		t.Fatal(err)
	}
	return out
}

// What Export and Import refuse before they read a weight.
func TestRefusals(t *testing.T) {
	dir, _ := packed(t, nil, nil)
	teacher, tmp := smallTeacher(t), t.TempDir()
	gptq := filepath.Join(tmp, "gptq")
	must(Export(dir, gptq, Options{Format: "gptq"}))(t)
	file := filepath.Join(tmp, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]func() error{
		`unknown format "onnx", want one of awq, compressed-tensors, gguf, gptq, gptq-v2, torchao`: func() error {
			_, err := Export(dir, filepath.Join(tmp, "x"), Options{Format: "onnx"})
			return err
		},
		"a float checkpoint, want a packed one": func() error { _, err := Export(teacher, filepath.Join(tmp, "x"), Options{Format: "gptq"}); return err },
		"of format gptq, want a packed checkpoint; import it first": func() error {
			_, err := Export(gptq, filepath.Join(tmp, "x"), Options{Format: "awq"})
			return err
		},
		"lie within each other":               func() error { _, err := Export(dir, filepath.Join(dir, "x"), Options{Format: "gptq"}); return err },
		"is a file, want a checkpoint folder": func() error { _, err := Import(file, filepath.Join(tmp, "x")); return err },
		"no such file":                        func() error { _, err := Import(filepath.Join(tmp, "none"), filepath.Join(tmp, "x")); return err },
		"limit of -1 bytes": func() error {
			_, err := Export(dir, filepath.Join(tmp, "x"), Options{Format: "gptq", ShardBytes: -1})
			return err
		},
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(tmp, "x")); err == nil {
		t.Error("a folder was written all the same")
	}
}

// A scale that only one of fp16 and bf16 holds is refused, wherever it would go.
func TestScalesOffTheGrid(t *testing.T) {
	dir, _ := packed(t, nil, nil)
	bad := damaged(t, dir, damage{tensors: change(".weight_scale", func(x *ckpt.Tensor) { copy(x.Data, "\x80\x36") })}) // 2^-18
	for _, format := range Formats() {
		_, err := Export(bad, filepath.Join(t.TempDir(), "out"), Options{Format: format})
		if err == nil || !strings.Contains(err.Error(), "up_proj: scale [0, 0] is 3.8") || !strings.Contains(err.Error(), "grid that fp16 and bf16 hold exactly") {
			t.Errorf("%s: error %v", format, err)
		}
	}
	negative := damaged(t, dir, damage{tensors: change(".weight_scale", negate)})
	if _, err := Export(negative, filepath.Join(t.TempDir(), "out"), Options{Format: "gguf"}); err == nil {
		t.Error("a negative scale was taken")
	}
}

// Tensors that other programs do not know: what changes a layer's input is refused, what names a pruned table's rows comes
// along where the format has room for it.
func TestTensorsOfOurOwn(t *testing.T) {
	dir, _ := packed(t, nil, nil)
	with := func(name string) string {
		bad := damaged(t, dir, damage{})
		src := must(ckpt.Open(bad))(t)
		list := []ckpt.Tensor{{Name: name, DType: "I32", Shape: []int64{1}, Data: []byte("1234")}}
		for _, info := range src.Infos() {
			x := copied(src, info)
			x.Data, x.Stream = bytes.Clone(must(content(&x))(t)), nil
			list = append(list, x)
		}
		src.Close()
		if err := ckpt.Write(filepath.Join(bad, "model.safetensors"), list, nil); err != nil {
			t.Fatal(err)
		}
		return bad
	}
	rotated, pruned := with("talker.model.layers.0.mlp.up_proj.input_signs"), with("talker.model.text_embedding.kept_ids")
	for _, format := range Formats() {
		if format == "compressed-tensors" {
			continue
		}
		out := filepath.Join(t.TempDir(), "out")
		_, err := Export(rotated, out, Options{Format: format})
		if err == nil || !strings.Contains(err.Error(), "input_signs") || !strings.Contains(err.Error(), "has no place for") && !strings.Contains(err.Error(), "no place in the format for") {
			t.Errorf("%s: error %v", format, err)
		}
		r, err := Export(pruned, out, Options{Format: format})
		switch {
		case format == "gguf":
			if err == nil || !strings.Contains(err.Error(), "no place for a pruned vocabulary") {
				t.Errorf("%s: error %v", format, err)
			}
		case err != nil || !strings.Contains(strings.Join(r.Notes, "\n"), "text_embedding is pruned"):
			t.Errorf("%s: %+v, error %v", format, r, err)
		}
	}
}

// Damaged GGUF folders.
func TestDamagedGGUF(t *testing.T) {
	dir, _ := packed(t, lattices[1].change, nil)
	good := filepath.Join(t.TempDir(), "gguf")
	must(Export(dir, good, Options{Format: "gguf"}))(t)
	head := must(os.ReadFile(filepath.Join(good, talkerFile)))(t)
	f := must(gguf.Open(filepath.Join(good, talkerFile)))(t)
	defer f.Close()
	rename := func(old, new string) []byte {
		if !bytes.Contains(head, []byte(old)) || len(old) != len(new) {
			t.Fatalf("%q cannot become %q", old, new)
		}
		return bytes.Replace(head, []byte(old), []byte(new), 1)
	}
	_, first, err := f.Bytes("blk.0.attn_q.weight")
	if err != nil {
		t.Fatal(err)
	}
	uneven := bytes.Replace(head, first, append([]byte{first[0] ^ 1}, first[1:]...), 1)
	for want, data := range map[string][]byte{
		`begins with "XGUF", want "GGUF"`: append([]byte("X"), head[1:]...),
		"truncated":                       head[:len(head)/2],
		"general.architecture is qwen3xyz, want qwen3tts":              rename("qwen3tts", "qwen3xyz"),
		`tensor "blk.0.attn_q.weight": no such tensor`:                 rename("blk.0.attn_q.weight", "blk.0.attn_x.weight"),
		`tensor "blk.9.attn_q.weight": the configuration has no place`: rename("blk.0.attn_q.weight", "blk.9.attn_q.weight"),
		"has other parameters than its group":                          uneven,
		"qakd.quantization_config":                                     rename(`"pack-quantized"`, `"hack-quantized"`),
	} {
		bad := t.TempDir()
		if err := os.CopyFS(filepath.Join(bad, "in"), os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bad, "in", talkerFile), data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Import(filepath.Join(bad, "in"), filepath.Join(bad, "out"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	bad := filepath.Join(t.TempDir(), "in")
	if err := os.CopyFS(bad, os.DirFS(good)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(bad, textFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(bad, bad+"-out"); err == nil || !strings.Contains(err.Error(), "folded into the token table, from which it cannot be had back") {
		t.Error(err)
	}
}

// Numbers in 16 bits.
func TestExactNumbers(t *testing.T) {
	for _, c := range []struct {
		dtype string
		x     float32
		ok    bool
	}{
		{"BF16", 1.5, true}, {"BF16", 1.00390625, false}, {"F16", 1.00390625, true}, {"F16", 1e-8, false}, {"F16", 70000, false},
		{"F16", quant.ScaleMin, true}, {"BF16", quant.ScaleMin, true}, {"F16", quant.ScaleMax, true}, {"F32", 1e-30, true}, {"I32", 1, false},
	} {
		b, err := exact(c.dtype, []float32{c.x})
		if (err == nil) != c.ok {
			t.Errorf("%v in %s: %v", c.x, c.dtype, err)
		}
		if err != nil {
			continue
		}
		if got := must(floats(c.dtype, b))(t); got[0] != c.x {
			t.Errorf("%v in %s comes back as %v", c.x, c.dtype, got[0])
		}
	}
	for dtype, x := range map[string][]float32{"BF16": {1, 2}, "F16": {1, 1.00390625}, "F32": {1, 1e-8, 1.0000001}} {
		if got := narrowest(x); got != dtype {
			t.Errorf("%v fits into %s, want %s", x, got, dtype)
		}
	}
	if b := must(rounded("BF16", []float32{1.01171875, 1.00390625}))(t); !bytes.Equal(b, []byte{0x82, 0x3f, 0x80, 0x3f}) {
		t.Errorf("rounded to %x, want ties to even", b)
	}
}
