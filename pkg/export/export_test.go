package export

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

// lattices are kinds of checkpoints, and the formats that refuse them, with the reason.
var lattices = []struct {
	name    string
	change  func(*qat.Config)
	adjust  func(quant.QParams)
	o       Options
	refused map[string]string
	only    string // formats, where what matters shows in these and in those that refuse; "" for all
}{
	{name: "int4 sym g32"},
	{name: "int4 sym g128 beside g32 and float heads", change: func(c *qat.Config) {
		c.Weight.GroupSize = 128
		small := quant.DefaultWeightScheme()
		c.Overrides = []qat.Override{{Include: []string{"talker.code_predictor.**"}, Weight: &small}}
		c.Exclude = []string{"talker.codec_head", "**.lm_head.*"}
	}, refused: map[string]string{"awq": "int4 sym g32 among layers of group_size 128, the format has one for all"}},
	{name: "int4 sym channel", only: "gptq torchao gguf", change: func(c *qat.Config) {
		c.Weight = quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerChannel}
	}},
	{name: "int4 sym tensor", only: "awq gguf", change: func(c *qat.Config) { c.Weight = quant.WeightScheme{Bits: 4, Symmetric: true} }},
	{name: "int4 asym g64", change: func(c *qat.Config) { c.Weight.Symmetric, c.Weight.GroupSize = false, 64 }, refused: map[string]string{
		"gguf": "Q4_1 holds -z*s in fp16, which is not exact for some groups"}},
	{name: "int4 asym tensor", only: "compressed-tensors gptq-v2 torchao gguf", change: func(c *qat.Config) { c.Weight = quant.WeightScheme{Bits: 4} }, refused: map[string]string{"gguf": ""}},
	{name: "int4 asym g32, scales of one bit, zero points from 0", change: func(c *qat.Config) { c.Weight.Symmetric = false }, adjust: func(p quant.QParams) {
		for i := range p.Scale {
			_, e := math.Frexp(float64(p.Scale[i]))
			p.Scale[i] = max(float32(math.Ldexp(1, e)), quant.ScaleMin)
		}
		p.ZeroPoint[0] = 0
	}, refused: map[string]string{"gptq": "version 1 stores zero points less 1 and has no place for 0 (gptq-v2 has)"}},
	{name: "int8 sym g32", only: "compressed-tensors gptq gguf", change: func(c *qat.Config) { c.Weight.Bits = 8 }, refused: map[string]string{
		"awq": "8 bits, the format has 4", "torchao": "8 bits, Int4Tensor has 4"}},
	{name: "int8 asym channel", only: "compressed-tensors gptq-v2", change: func(c *qat.Config) { c.Weight = quant.WeightScheme{Bits: 8, Granularity: quant.PerChannel} }, refused: map[string]string{
		"awq": "8 bits", "torchao": "8 bits", "gguf": "int8 with zero points, which no block type holds"}},
	{name: "int4 sym g32, int8 inputs", only: "compressed-tensors", change: func(c *qat.Config) { c.Activation = qat.DefaultConfig().Activation }, refused: map[string]string{
		"gptq": "weights alone, and the layer's input is quantized too (a8 dynamic token; -weights-only", "gptq-v2": "weights alone", "awq": "weights alone",
		"torchao": "weights alone", "gguf": "weights alone"}},
	{name: "the same, weights only", only: "gguf", change: func(c *qat.Config) { c.Activation = qat.DefaultConfig().Activation }, o: Options{WeightsOnly: true}},
	{name: "int4 sym g32, static int8 inputs, weights only", only: "gptq-v2", o: Options{WeightsOnly: true}, change: func(c *qat.Config) {
		c.Activation = quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}
	}},
	{name: "embeddings too", change: func(c *qat.Config) {
		c.Embeddings = qat.EmbeddingConfig{Bits: 8, GroupSize: 32, Include: []string{"**"}}
	}},
	{name: "embeddings of 4 bits", only: "gguf awq", change: func(c *qat.Config) {
		c.Embeddings = qat.EmbeddingConfig{Bits: 4, GroupSize: 128, Include: []string{"**"}}
	}},
}

// Every lattice in every format: refused with the reason, or dequantized to the fake-quantized weights bit for bit; read
// back, and exported again to the same bytes.
func TestFormats(t *testing.T) {
	for _, l := range lattices {
		dir, fake := packed(t, l.change, l.adjust)
		for _, format := range Formats() {
			if _, refuses := l.refused[format]; l.only != "" && !refuses && !slices.Contains(strings.Fields(l.only), format) {
				continue
			}
			t.Run(l.name+" "+format, func(t *testing.T) {
				tmp := t.TempDir()
				first, back, again := filepath.Join(tmp, "first"), filepath.Join(tmp, "back"), filepath.Join(tmp, "again")
				o := l.o
				o.Format = format
				r, err := Export(dir, first, o)
				if why, ok := l.refused[format]; ok {
					refusedBecause(t, err, why, first)
					if why != "" || err != nil {
						return
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if r.Layers < len(fake) || r.Weights < 1 || r.Bytes < 1 || !slices.Contains(r.Files, "config.json") {
					t.Errorf("result %+v", r)
				}
				sameWeights(t, first, fake)
				must(Import(first, back))(t)
				sameWeights(t, back, fake)
				must(Export(back, again, Options{Format: format}))(t)
				sameFolder(t, first, again)
			})
		}
	}
}

func refusedBecause(t *testing.T, err error, why, out string) {
	t.Helper()
	if why == "" {
		return // depends on the numbers
	}
	if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line with %q", err, why)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a folder was written all the same")
	}
}

// sameWeights compares the matrices of a folder with fake-quantized weights.
func sameWeights(t *testing.T, dir string, fake map[string][]float32) {
	t.Helper()
	m, _, err := openModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for path, want := range fake {
		x := m.find(path)
		if x == nil {
			t.Errorf("%s: %s is not quantized", dir, path)
			continue
		}
		got := must(x.dense())(t)
		if i := firstDifference(got, want); i >= 0 {
			t.Errorf("%s: %s differs at %d", dir, path, i)
		}
	}
}

func firstDifference(a, b []float32) int {
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

// sameFolder compares two folders file by file.
func sameFolder(t *testing.T, a, b string) {
	t.Helper()
	files, others := must(listFiles(a))(t), must(listFiles(b))(t)
	if !slices.Equal(files, others) {
		t.Errorf("files %v, want %v", others, files)
	}
	for _, f := range files {
		x, y := must(os.ReadFile(filepath.Join(a, f)))(t), must(os.ReadFile(filepath.Join(b, f)))(t)
		if !slices.Equal(x, y) {
			t.Errorf("%s differs after export, import and export", f)
		}
	}
}

// What comes back is what went out: the same model, loaded by the ordinary loader, and the same tensors.
func TestImportedModel(t *testing.T) {
	dir, _ := packed(t, nil, nil)
	want := contents(t, dir)
	for _, format := range Formats() {
		tmp := t.TempDir()
		out, back := filepath.Join(tmp, "out"), filepath.Join(tmp, "back")
		must(Export(dir, out, Options{Format: format}))(t)
		must(Import(out, back))(t)
		got := contents(t, back)
		for name, data := range want {
			if got[name] != data {
				t.Errorf("%s: tensor %s differs", format, name)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d tensors, want %d", format, len(got), len(want))
		}
		m, err := talker.Load(back, talker.Options{Swap: func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) }})
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		m.Close()
	}
}

// contents are the tensors of a folder, with dtype and shape.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	src := must(ckpt.Open(dir))(t)
	defer src.Close()
	out := map[string]string{}
	for _, info := range src.Infos() {
		_, data, err := src.Bytes(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[info.Name] = info.String() + string(data)
	}
	return out
}

// Small files hold the same tensors, and are read like one.
func TestShards(t *testing.T) {
	dir, fake := packed(t, nil, nil)
	for _, format := range []string{"compressed-tensors", "gptq", "torchao"} {
		out := filepath.Join(t.TempDir(), "out")
		r := must(Export(dir, out, Options{Format: format, ShardBytes: 1 << 17}))(t)
		if !slices.Contains(r.Files, "model.safetensors.index.json") || slices.Contains(r.Files, "model.safetensors") {
			t.Errorf("%s: files %v", format, r.Files)
		}
		sameWeights(t, out, fake)
	}
}

// The settings that others' loaders look at.
func TestConfigs(t *testing.T) {
	dir, _ := packed(t, lattices[1].change, nil)
	for format, parts := range map[string][]string{
		"gptq": {
			`"quant_method":"gptq"`, `"bits":4`, `"group_size":128`, `"sym":true`, `"desc_act":false`, `"checkpoint_format":"gptq"`,
			`"-:^talker\\.codec_head$":{}`, `"-:speaker_encoder\\..*":{}`,
			`"+:^talker\\.code_predictor\\.model\\.layers\\.0\\.mlp\\.up_proj$":{"bits":4,"group_size":32,"sym":true}`,
		},
		"gptq-v2":            {`"checkpoint_format":"gptq_v2"`},
		"torchao":            {`"quant_method":"torchao"`, `"_type":"FqnToConfig"`, `"talker.codec_head"`, `"speaker_encoder"`},
		"compressed-tensors": {`"quant_method":"compressed-tensors"`, `"re:speaker_encoder\\..*"`, `"group_1"`},
	} {
		out := filepath.Join(t.TempDir(), "out")
		must(Export(dir, out, Options{Format: format}))(t)
		_, raw, err := readConfig(out)
		if err != nil {
			t.Fatal(err)
		}
		compact := strings.NewReplacer(" ", "", "\n", "").Replace(string(raw))
		for _, part := range parts {
			if !strings.Contains(compact, part) {
				t.Errorf("%s: no %s in %s", format, part, compact)
			}
		}
	}
	dir, _ = packed(t, nil, nil)
	out := filepath.Join(t.TempDir(), "out")
	must(Export(dir, out, Options{Format: "awq"}))(t)
	_, raw, _ := readConfig(out)
	var got awqConfig
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if want := (awqConfig{Method: "awq", Bits: 4, GroupSize: 32, Version: "gemm", ZeroPoint: true, Keep: []string{"speaker_encoder"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
