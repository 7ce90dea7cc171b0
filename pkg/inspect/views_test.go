package inspect_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/inspect"
)

const (
	fixtures = "../talker/testdata/"
	f32      = fixtures + "tiny-f32/checkpoint"
	bf16     = fixtures + "tiny-bf16/checkpoint"
	sharded  = fixtures + "tiny-sharded/checkpoint"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// TestModel: numbers counted from the headers with another program.
func TestModel(t *testing.T) {
	m := look[*inspect.Model](t, sharded, "model", inspect.Options{})
	if m.Kind != "float" || m.TTSType != "custom_voice" || m.Tensors != 72 || m.Parameters != 445_024 || m.WeightFiles != 5 {
		t.Errorf("%+v", m)
	}
	if m.WeightBytes != 413_984+348_304+170_344+447_832+408_112 || len(m.Files) != 16 {
		t.Errorf("%d bytes of weights, files %v", m.WeightBytes, m.Files)
	}
	if diff := cmp.Diff([]inspect.DType{{Name: "F32", Tensors: 72, Elements: 445_024, Parameters: 445_024, Bytes: 1_780_096}}, m.DTypes); diff != "" {
		t.Error(diff)
	}
	parts := map[string]int64{}
	for _, p := range look[*inspect.Model](t, bf16, "model", inspect.Options{}).Parts {
		parts[p.Name] = p.Parameters
	}
	want := map[string]int64{
		"text embedding": 45_024, "text projection": 15_520, "codec embedding": 69_632, "talker layers": 114_144, "talker norm": 64,
		"codec head": 69_632, "predictor embeddings": 61_440, "predictor layers": 61_760, "predictor norm": 64,
		"predictor heads": 61_440, "speaker encoder": 60_596,
	}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	text := print(t, m)
	for _, line := range []string{"│ talker layers        │      22 │    102,784 │   411,136 │", "│ rope_theta                    │  10000 │        1000000 │"} {
		if !strings.Contains(text, line) {
			t.Errorf("the tables lack %q:\n%s", line, text)
		}
	}
}

func print(t *testing.T, r inspect.Result) string {
	t.Helper()
	var b strings.Builder
	for _, table := range r.Tables() {
		must(t, table.Text(&b))
	}
	return b.String()
}

// TestMismatch: a tensor that is missing, one too many and one of another shape are a finding of the model view.
func TestMismatch(t *testing.T) {
	dir := declared(t, nil)
	edited(t, dir, map[string]any{"talker_config/num_hidden_layers": 3, "talker_config/text_vocab_size": 502})
	m := look[*inspect.Model](t, dir, "model", inspect.Options{})
	c := m.Checks[0]
	for _, part := range []string{"11 missing, 0 unexpected, 1 mis-shaped", "missing talker.model.layers.2.mlp.up_proj.weight [160 64]",
		"mis-shaped talker.model.text_embedding.weight: shape [501 64], want [502 64]"} {
		if c.Verdict != inspect.Wrong || !strings.Contains(c.Detail, part) {
			t.Errorf("check %+v lacks %q", c, part)
		}
	}
	l := look[*inspect.Layers](t, dir, "layers", inspect.Options{})
	i := slices.IndexFunc(l.Layers, func(l inspect.Layer) bool { return l.Path == "talker.model.layers.2.mlp.up_proj" })
	if l.Layers[i].DType != "missing" || l.Layers[i].Parameters != 0 {
		t.Errorf("%+v", l.Layers[i])
	}
}

func TestStructure(t *testing.T) {
	s := look[*inspect.Structure](t, sharded, "structure", inspect.Options{Depth: 3})
	var got []string
	for _, n := range s.Nodes {
		got = append(got, n.Path)
	}
	want := strings.Fields(`talker talker.model talker.model.text_embedding talker.model.codec_embedding talker.model.layers
		talker.model.norm talker.text_projection talker.text_projection.linear_fc1 talker.text_projection.linear_fc2
		talker.codec_head talker.codec_head.weight talker.code_predictor talker.code_predictor.model
		talker.code_predictor.small_to_mtp_projection talker.code_predictor.lm_head`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if n := s.Nodes[4]; n.Tensors != 22 || n.Parameters != 102_784 || n.Bytes != 411_136 || n.Level != 3 || n.Shape != nil {
		t.Errorf("%+v", n)
	}
	all := look[*inspect.Structure](t, sharded, "structure", inspect.Options{})
	leaves := 0
	for _, n := range all.Nodes {
		if n.Shape != nil {
			leaves++
		}
	}
	if leaves != 72 {
		t.Errorf("%d tensors in the tree, want 72", leaves)
	}
	text := print(t, all)
	for _, part := range []string{"talker.model.layers.{0..1}.self_attn.q_proj.weight ", " 64 x 80   │ F32   │       2 │     10,240 │    40,960 │",
		"talker.code_predictor.lm_head.{0..2}.weight "} {
		if !strings.Contains(text, part) {
			t.Errorf("the tree lacks %q:\n%s", part, text)
		}
	}
	if c, err := inspect.Open(sharded); err != nil {
		t.Error(err)
	} else if _, err := c.Structure(-1); err == nil || err.Error() != "depth is -1, want 0 (all levels) or more" {
		t.Errorf("depth -1: %v", err)
	}
}

func TestLayers(t *testing.T) {
	l := look[*inspect.Layers](t, sharded, "layers", inspect.Options{})
	if len(l.Layers) != 47 {
		t.Fatalf("%d layers", len(l.Layers))
	}
	for i, want := range map[int]inspect.Layer{
		0:  {"talker.model.text_embedding", "embedding", "text vocabulary: tokens of the text", 517, 64, 33_088, "F32", 132_352},
		2:  {"talker.text_projection.linear_fc2", "projection", "text projection, to the talker's width", 80, 64, 5_200, "F32", 20_800},
		4:  {"talker.model.layers.0.self_attn.q_proj", "projection", "attention: queries", 64, 80, 5_120, "F32", 20_480},
		20: {"talker.code_predictor.model.codec_embedding.1", "embedding", "codes of codebook 2", 64, 80, 5_120, "F32", 20_480},
		46: {"talker.code_predictor.lm_head.2", "projection", "logits of code 3", 64, 64, 4_096, "F32", 16_384},
	} {
		if diff := cmp.Diff(want, l.Layers[i]); diff != "" {
			t.Errorf("layer %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestHead(t *testing.T) {
	h := look[*inspect.Heads](t, sharded, "head", inspect.Options{})
	want := inspect.Head{Path: "talker.codec_head", Predicts: "code 0, end", Rows: 1088, Width: 80, Reachable: 65, Suppressed: 1023, Ends: true,
		Table: "talker.model.codec_embedding.weight", DType: "F32", Parameters: 87_040, Bytes: 348_160}
	if diff := cmp.Diff(want, h.Heads[0]); diff != "" || h.EOS != 166 || len(h.Heads) != 4 {
		t.Errorf("%d heads, end %d; first (-want +got):\n%s", len(h.Heads), h.EOS, diff)
	}
	if x := h.Heads[3]; x.Path != "talker.code_predictor.lm_head.2" || x.Predicts != "code 3" || x.Reachable != 64 || x.Suppressed != 0 || x.Ends {
		t.Errorf("last head %+v", x)
	}
}

// TestRefused: one clear error that names the file, or lists the views.
func TestRefused(t *testing.T) {
	if _, err := inspect.Find("nope"); err == nil || err.Error() != `unknown view "nope", want one of: model, structure, layers, forward, head, vocab, quant` {
		t.Errorf("unknown view: %v", err)
	}
	whole, err := os.ReadFile(f32 + "/model.safetensors")
	must(t, err)
	for name, tt := range map[string]struct {
		weights []byte
		config  string
		want    []string
	}{
		"no config":  {want: []string{"config.json", "no such file"}},
		"bad config": {config: "{", want: []string{"config.json", "unexpected end of JSON"}},
		"no weights": {config: "ok", want: []string{"no checkpoint here: neither model.safetensors"}},
		"truncated":  {config: "ok", weights: whole[:len(whole)-4], want: []string{"model.safetensors: truncated"}},
		"corrupt":    {config: "ok", weights: append([]byte("garbage!"), whole...), want: []string{"model.safetensors: not a safetensors file"}},
	} {
		dir := t.TempDir()
		if tt.config == "ok" {
			edited(t, dir, nil)
		} else if tt.config != "" {
			must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(tt.config), 0o644))
		}
		if tt.weights != nil {
			must(t, os.WriteFile(filepath.Join(dir, "model.safetensors"), tt.weights, 0o644))
		}
		_, err := inspect.Open(dir)
		for _, part := range append(tt.want, dir) {
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want one line with %q", name, err, part)
			}
		}
	}
}
