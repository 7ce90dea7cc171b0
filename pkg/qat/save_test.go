package qat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// Fake-quantized = converted = saved and reloaded, for every scheme, bit for bit; and the student's own folder too.
func TestOneModelFourForms(t *testing.T) {
	dir, out := teacher(t, nil), t.TempDir()
	for i, c := range variants() {
		m := prepared(t, dir, c)
		want := logits(t, m)
		student, early, packed := filepath.Join(out, "student"), filepath.Join(out, "early"), filepath.Join(out, "packed")
		if err := qat.SaveStudent(student, m, qat.SaveOptions{Source: dir}); err != nil {
			t.Fatalf("%s: %v", name(c), err)
		}
		if i%5 == 0 {
			must(qat.SaveCheckpoint(early, m, qat.SaveOptions{Source: dir}))(t) // of a model that trains on
		}
		sameBits(t, name(c)+": after saving", logits(t, m), want)
		if err := qat.Convert(m); err != nil {
			t.Fatalf("%s: %v", name(c), err)
		}
		sameBits(t, name(c)+": converted", logits(t, m), want)
		res := must(qat.SaveCheckpoint(packed, m, qat.SaveOptions{Source: dir}))(t)
		if res.Layers != 4 || res.Weights != 3*96*64+960 {
			t.Errorf("%s: %+v", name(c), res)
		}
		if i%5 == 0 && !sameFile(t, early, packed, "model.safetensors") {
			t.Errorf("%s: the fake-quantized and the converted model are saved differently", name(c))
		}
		reloaded := must(load(packed))(t)
		sameBits(t, name(c)+": reloaded", logits(t, reloaded), want)
		qat.KeepDense(reloaded, true)
		logits(t, reloaded)
		sameBits(t, name(c)+": kept dense", logits(t, reloaded), want)
		qat.KeepDense(reloaded, false)
		again := must(load(student))(t)
		sameBits(t, name(c)+": reloaded student", logits(t, again), want)
		for dir, kind := range map[string]string{dir: "float", student: "student", packed: "packed"} {
			f := must(qat.Describe(dir))(t)
			if f.Kind != kind || kind != "float" && (len(f.Layers) != 4 || f.Layers[0].Weight.Bits != c.Weight.Bits || f.Layers[0].Activation != c.Activation) {
				t.Errorf("%s: %s is described as %+v", name(c), kind, f)
			}
		}
		if i%5 == 0 {
			if err := qat.SaveStudent(student+"2", again, qat.SaveOptions{Source: dir}); err != nil {
				t.Fatal(err)
			}
			for _, f := range []string{"model.safetensors", "qat.json", "config.json"} {
				if !sameFile(t, student, student+"2", f) {
					t.Errorf("%s: %s of a reloaded student differs", name(c), f)
				}
			}
		}
		for _, m := range []*toy{m, reloaded, again} {
			nn.Close(m)
		}
	}
}

func sameFile(t *testing.T, a, b, name string) bool {
	t.Helper()
	return string(must(os.ReadFile(filepath.Join(a, name)))(t)) == string(must(os.ReadFile(filepath.Join(b, name)))(t))
}

// What is on disk: names, dtypes and shapes of the compressed-tensors layout, the configuration, everything carried over.
func TestCheckpointFolder(t *testing.T) {
	encoder := ckpt.Tensor{Name: "speaker_encoder.fc.weight", DType: "F32", Shape: []int64{2}, Data: []byte("abcdefgh")}
	dir := teacher(t, map[string]string{
		"generation_config.json": "{}", "vocab.json": "{}", "merges.txt": "m", "speech_tokenizer/model.safetensors": "speech",
		"speech_tokenizer/config.json": "{}", ".cache/x": "hidden", "pytorch_model.bin": "old", "NOTE.txt": "stale",
	}, encoder)
	c := qat.DefaultConfig()
	c.Weight.Symmetric = false
	c.Exclude = []string{"**.down_proj"}
	m := prepared(t, dir, c)
	out := filepath.Join(t.TempDir(), "a", "packed")
	if err := os.MkdirAll(filepath.Join(out, "stale"), 0o755); err != nil {
		t.Fatal(err)
	}
	res := must(qat.SaveCheckpoint(out, m, qat.SaveOptions{Source: dir}))(t)
	head := must(ckpt.HeaderOnly(out))(t)
	var got []string
	for _, i := range head.Infos {
		got = append(got, i.String())
	}
	want := []string{
		"model.head.bias BF16 [10]",
		"model.head.weight_packed I32 [10 12]", "model.head.weight_scale BF16 [10 3]",
		"model.head.weight_shape I64 [2]", "model.head.weight_zero_point I32 [2 3]",
		"model.mlp.down_proj.weight BF16 [96 64]",
		"model.mlp.gate_proj.weight_packed I32 [64 12]", "model.mlp.gate_proj.weight_scale BF16 [64 3]",
		"model.mlp.gate_proj.weight_shape I64 [2]", "model.mlp.gate_proj.weight_zero_point I32 [8 3]",
		"model.mlp.up_proj.weight_packed I32 [64 12]", "model.mlp.up_proj.weight_scale BF16 [64 3]",
		"model.mlp.up_proj.weight_shape I64 [2]", "model.mlp.up_proj.weight_zero_point I32 [8 3]",
		"model.norm.weight BF16 [96]", "speaker_encoder.fc.weight F32 [2]",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("tensors (-want +got):\n%s", d)
	}
	var config map[string]any
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(out, "config.json")))(t), &config); err != nil {
		t.Fatal(err)
	}
	var wantConfig map[string]any
	if err := json.Unmarshal([]byte(`{"model_type": "toy", "eps": 1e-06, "id": 12345678901234567, "quantization_config": {
		"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
		"ignore": ["model.mlp.down_proj", "re:speaker_encoder\\..*"],
		"config_groups": {"group_0": {"targets": ["Linear"], "format": "pack-quantized", "output_activations": null,
			"weights": {"num_bits": 4, "type": "int", "symmetric": false, "strategy": "group", "group_size": 32, "dynamic": false, "actorder": null},
			"input_activations": {"num_bits": 8, "type": "int", "symmetric": true, "strategy": "token", "group_size": null, "dynamic": true, "actorder": null}}}}}`), &wantConfig); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wantConfig, config); d != "" {
		t.Errorf("config.json (-want +got):\n%s", d)
	}
	if raw := string(must(os.ReadFile(filepath.Join(out, "config.json")))(t)); !strings.Contains(raw, "12345678901234567") {
		t.Error("a long integer of config.json was rounded")
	}
	if want := []string{"generation_config.json", "merges.txt", "speech_tokenizer/config.json", "speech_tokenizer/model.safetensors", "vocab.json"}; !slices.Equal(res.Carried, want) {
		t.Errorf("carried %q, want %q", res.Carried, want)
	}
	for _, f := range []string{"stale", ".cache", "pytorch_model.bin", "NOTE.txt"} {
		if _, err := os.Stat(filepath.Join(out, f)); err == nil {
			t.Errorf("%s is in the saved folder", f)
		}
	}
	if res.TalkerOnly || len(res.Missing) != 0 || !slices.Equal(res.CarriedTensors, []string{"speaker_encoder.fc.weight"}) {
		t.Errorf("result %+v", res)
	}
	src := must(ckpt.Open(out))(t)
	defer src.Close()
	if _, data, err := src.Bytes("speaker_encoder.fc.weight"); err != nil || string(data) != "abcdefgh" {
		t.Errorf("speaker encoder %q, %v", data, err)
	}
	if res.Bytes < res.QuantizedBytes || res.QuantizedBytes != 2*(64*96/2+64*3*2+8*3*4)+10*12*4+10*3*2+2*3*4 {
		t.Errorf("%d bytes, %d of them quantized", res.Bytes, res.QuantizedBytes)
	}
}

// A source that is a link to a folder, with a folder behind a link in it, is carried over as any other.
func TestLinkedSource(t *testing.T) {
	real, link := teacher(t, map[string]string{"vocab.json": "{}"}), filepath.Join(t.TempDir(), "link")
	elsewhere := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(elsewhere, "model.safetensors"), []byte("speech"), 0o644),
		os.Symlink(elsewhere, filepath.Join(real, "speech_tokenizer")),
		os.Symlink(real, link),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m := prepared(t, real, qat.DefaultConfig())
	out := filepath.Join(t.TempDir(), "packed")
	res := must(qat.SaveCheckpoint(out, m, qat.SaveOptions{Source: link}))(t)
	if d := cmp.Diff([]string{"speech_tokenizer/model.safetensors", "vocab.json"}, res.Carried); d != "" {
		t.Errorf("carried (-want +got):\n%s", d)
	}
	if text, err := os.ReadFile(filepath.Join(out, "speech_tokenizer", "model.safetensors")); string(text) != "speech" {
		t.Errorf("the speech tokenizer is %q, %v", text, err)
	}
}

// A talker without its surroundings is said to be one.
func TestTalkerOnly(t *testing.T) {
	dir := teacher(t, map[string]string{"config.json": `{"speaker_encoder_config": {}}`})
	out := filepath.Join(t.TempDir(), "packed")
	res := must(qat.SaveCheckpoint(out, prepared(t, dir, qat.DefaultConfig()), qat.SaveOptions{Source: dir}))(t)
	note := string(must(os.ReadFile(filepath.Join(out, "NOTE.txt")))(t))
	for _, what := range []string{"speech tokenizer", "text tokenizer", "speaker encoder"} {
		if !strings.Contains(note, what) || !slices.ContainsFunc(res.Missing, func(m string) bool { return strings.HasPrefix(m, what) }) {
			t.Errorf("%s is not said to be missing: %q, %q", what, res.Missing, note)
		}
	}
	if !res.TalkerOnly {
		t.Error("not said to be talker-only")
	}
}

// Symmetric INT4 in groups of 32 takes 4.5 bits per weight, asymmetric 4.625, also counted on disk.
func TestBitsOnDisk(t *testing.T) {
	dir := teacher(t, nil)
	for _, c := range []struct {
		symmetric bool
		want      float64
	}{{true, 4.6}, {false, 4.75}} {
		cfg := qat.DefaultConfig()
		cfg.Weight.Symmetric = c.symmetric
		cfg.Include = []string{"**.mlp.**"}
		out := filepath.Join(t.TempDir(), "packed")
		res := must(qat.SaveCheckpoint(out, prepared(t, dir, cfg), qat.SaveOptions{Source: dir}))(t)
		var bytes, weights int64
		for _, i := range must(ckpt.HeaderOnly(out))(t).Infos {
			if strings.HasPrefix(i.Name, "model.mlp.") && !strings.HasSuffix(i.Name, "_shape") {
				bytes += i.Bytes
			}
		}
		weights = 3 * 96 * 64
		if got := 8 * float64(bytes) / float64(weights); got > c.want || got != res.BitsPerWeight {
			t.Errorf("symmetric %v: %v bits per weight on disk, %v reported, want at most %v", c.symmetric, got, res.BitsPerWeight, c.want)
		}
	}
}

// One config group per distinct scheme, and the loader gives each layer its own.
func TestConfigGroups(t *testing.T) {
	dir := teacher(t, nil)
	c := qat.DefaultConfig()
	int8s, none := quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, quant.ActivationScheme{}
	c.Overrides = []qat.Override{{Include: []string{"model.head"}, Weight: &int8s, Activation: &none}}
	c.Exclude = []string{"**.up_proj"}
	m := prepared(t, dir, c)
	want := logits(t, m)
	out := filepath.Join(t.TempDir(), "packed")
	must(qat.SaveCheckpoint(out, m, qat.SaveOptions{Source: dir}))(t)
	var config struct {
		Q struct {
			Groups map[string]struct{ Targets []string } `json:"config_groups"`
			Ignore []string
		} `json:"quantization_config"`
	}
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(out, "config.json")))(t), &config); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{"ignore": config.Q.Ignore}
	for k, g := range config.Q.Groups {
		got[k] = g.Targets
	}
	if d := cmp.Diff(map[string][]string{
		"group_0": {"model.mlp.gate_proj", "model.mlp.down_proj"}, "group_1": {"model.head"}, "ignore": {"model.mlp.up_proj"},
	}, got); d != "" {
		t.Errorf("groups (-want +got):\n%s", d)
	}
	r := must(load(out))(t)
	sameBits(t, "reloaded", logits(t, r), want)
	if p := r.head.P.(*qat.Packed).Plan(); p.Weight != int8s || p.Activation != none {
		t.Errorf("head is loaded as %v, %v", p.Weight, p.Activation)
	}
	if _, ok := r.mlp.GateUp[1].P.(*nn.Linear); !ok {
		t.Errorf("up_proj is loaded as %T, want float", r.mlp.GateUp[1].P)
	}
}

// A float parameter that training moved off the source's dtype is rounded in a converted model and on disk alike, but a
// student keeps it whole.
func TestRestIsRounded(t *testing.T) {
	dir := teacher(t, nil)
	m := prepared(t, dir, qat.DefaultConfig())
	run(t, func(c *nn.Context) error {
		m.norm.W.Set(c.Release(c.AddScalar(c.Detach(m.norm.W.T), 0.001)))
		return nil
	})
	want := logits(t, m)
	out := t.TempDir()
	if err := qat.SaveStudent(filepath.Join(out, "student"), m, qat.SaveOptions{Source: dir}); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "reloaded student", logits(t, must(load(filepath.Join(out, "student")))(t)), want)
	must(qat.SaveCheckpoint(filepath.Join(out, "early"), m, qat.SaveOptions{Source: dir}))(t)
	sameBits(t, "a model that trains on", logits(t, m), want)
	if err := qat.Convert(m); err != nil {
		t.Fatal(err)
	}
	must(qat.SaveCheckpoint(filepath.Join(out, "packed"), m, qat.SaveOptions{Source: dir}))(t)
	rounded := logits(t, m)
	if slices.Equal(rounded, want) {
		t.Error("the test has lost its point: nothing was rounded")
	}
	sameBits(t, "reloaded", logits(t, must(load(filepath.Join(out, "packed")))(t)), rounded)
}

// A student with static activations can be saved before it is calibrated, and calibrated after loading.
func TestUncalibratedStudent(t *testing.T) {
	dir := teacher(t, nil)
	c := qat.DefaultConfig()
	c.Activation = quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}
	m := must(load(dir))(t)
	plan := must(qat.Prepare(m, c))(t)
	out := filepath.Join(t.TempDir(), "student")
	if err := qat.SaveStudent(out, m, qat.SaveOptions{Source: dir}); err != nil {
		t.Fatal(err)
	}
	again := must(load(out))(t)
	if err := nn.Run(func(c *nn.Context) error { again.forward(c, c.Randn(1, width)); return nil }); err == nil || !strings.Contains(err.Error(), "calibrate") {
		t.Errorf("an uncalibrated forward pass: %v", err)
	}
	scales := map[string]float32{}
	for _, s := range plan.Slots(again) {
		scales[s.Path] = 0.05
	}
	for _, m := range []*toy{m, again} {
		if err := qat.SetInputScales(m, scales); err != nil {
			t.Fatal(err)
		}
	}
	sameBits(t, "calibrated before and after", logits(t, m), logits(t, again))
}

func TestLoadErrors(t *testing.T) {
	dir := teacher(t, nil)
	m := prepared(t, dir, qat.DefaultConfig())
	packed, student := filepath.Join(t.TempDir(), "packed"), filepath.Join(t.TempDir(), "student")
	must(qat.SaveCheckpoint(packed, m, qat.SaveOptions{Source: dir}))(t)
	if err := qat.SaveStudent(student, m, qat.SaveOptions{Source: dir}); err != nil {
		t.Fatal(err)
	}
	config := string(must(os.ReadFile(filepath.Join(packed, "config.json")))(t))
	scheme := string(must(os.ReadFile(filepath.Join(student, "qat.json")))(t))
	for _, c := range []struct{ file, text, old, new, want string }{
		{packed, config, "compressed-tensors", "gptq", `quant_method "gptq"`},
		{packed, config, `"format": "pack-quantized",`, `"format": "float-quantized",`, `format "float-quantized"`},
		{packed, config, `"num_bits": 4`, `"num_bits": 3`, "3 bits"},
		{packed, config, `"strategy": "group"`, `"strategy": "block"`, `strategy "block"`},
		{packed, config, `"group_size": 32`, `"group_size": 40`, "group_size 40 does not divide in_features 96 of model.mlp.gate_proj"},
		{packed, config, `"group_size": 32`, `"group_size": 16`, "mis-shaped model.head.weight_scale: shape [10 3], want [10 6]"},
		{packed, config, `"Linear"`, `"re:["`, "target \"re:[\""},
		{packed, config, `"Linear"`, `"model.head"`, "unexpected model.mlp.down_proj.weight_packed"},
		{packed, config, `"dynamic": true`, `"dynamic": false`, `input_activations: strategy "token"`},
		{packed, config, `{`, `[`, "config.json"},
		{student, scheme, `"format": 1`, `"format": 2`, "format 2, want 1"},
		{student, scheme, "model.head", "model.tail", `the model has no projection "model.tail"`},
		{student, scheme, "per_group", "per_row", `granularity "per_row"`},
	} {
		name := "config.json"
		if c.file == student {
			name = "qat.json"
		}
		path := filepath.Join(c.file, name)
		if err := os.WriteFile(path, []byte(strings.Replace(c.text, c.old, c.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := load(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s -> %s: error %v, want %q", c.old, c.new, err, c.want)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	must(load(packed))(t)
	must(load(student))(t)
}

func TestSaveErrors(t *testing.T) {
	dir := teacher(t, nil)
	float := must(load(dir))(t)
	out := filepath.Join(t.TempDir(), "out")
	m := prepared(t, dir, qat.DefaultConfig())
	must(qat.SaveCheckpoint(out, m, qat.SaveOptions{Source: dir}))(t)
	if err := qat.Convert(float); err == nil || !strings.Contains(err.Error(), "prepare the model first") {
		t.Errorf("Convert of a float model: %v", err)
	}
	if _, err := qat.SaveCheckpoint(out, float, qat.SaveOptions{Source: dir}); err == nil || !strings.Contains(err.Error(), "prepare the model first") {
		t.Errorf("a float model: %v", err)
	}
	if _, err := qat.SaveCheckpoint(out, m, qat.SaveOptions{Source: out}); err == nil || !strings.Contains(err.Error(), "is quantized, want the float checkpoint") {
		t.Errorf("a quantized source: %v", err)
	}
	if _, err := qat.SaveCheckpoint(out, m, qat.SaveOptions{Source: filepath.Join(out, "none")}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no source: %v", err)
	}
	run(t, func(c *nn.Context) error {
		w := m.head.P.(*qat.Linear).W
		v := must(tensor.Floats(w.T))(t)
		zero := float32(0)
		v[7] = 1 / zero
		w.Set(c.Release(c.FromFloats(v, w.Shape...)))
		return nil
	})
	if _, err := qat.SaveCheckpoint(out, m, qat.SaveOptions{Source: dir}); err == nil || !strings.Contains(err.Error(), "model.head: quant: weight [0, 7] is +Inf") {
		t.Errorf("an infinite master: %v", err)
	}
	must(load(out))(t) // the old folder is whole
}
