package inspect_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/inspect"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
)

// headerViews must not read tensor data.
var headerViews = []string{"model", "structure", "layers", "head", "vocab"}

// look runs a view and returns its result.
func look[R inspect.Result](t *testing.T, dir, view string, o inspect.Options) R {
	t.Helper()
	c, err := inspect.Open(dir)
	must(t, err)
	v, err := inspect.Find(view)
	must(t, err)
	r, err := v.Look(c, o)
	must(t, err)
	return r.(R)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hole writes a safetensors file whose data section has the right size and nothing in it.
func hole(t *testing.T, path string, infos []ckpt.Info) {
	t.Helper()
	header, at := map[string]any{}, int64(0)
	for _, i := range infos {
		size, err := ckpt.DTypeSize(i.DType)
		must(t, err)
		end := at + size*i.Elements()
		header[i.Name] = map[string]any{"dtype": i.DType, "shape": i.Shape, "data_offsets": []int64{at, end}}
		at = end
	}
	text, err := json.Marshal(header)
	must(t, err)
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	_, err = f.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...))
	must(t, err)
	if err = f.Truncate(8 + int64(len(text)) + at); errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.ENOSPC) {
		t.Skipf("no sparse file of %d bytes here: %v", at, err)
	}
	must(t, err)
}

// edited copies the configuration of a fixture with other values; keys are "talker_config/hidden_size".
func edited(t *testing.T, dir string, set map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(f32 + "/config.json")
	must(t, err)
	var cfg map[string]any
	must(t, json.Unmarshal(raw, &cfg))
	for key, v := range set {
		at := cfg
		for {
			head, tail, deeper := cutKey(key)
			if !deeper {
				at[head] = v
				break
			}
			at, key = at[head].(map[string]any), tail
		}
	}
	raw, err = json.Marshal(cfg)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o644))
}

func cutKey(key string) (head, tail string, deeper bool) {
	for i := range key {
		if key[i] == '/' {
			return key[:i], key[i+1:], true
		}
	}
	return key, "", false
}

// published are the values of the 1.7B model that differ from the fixture's.
func published() map[string]any {
	set := map[string]any{
		"im_start_token_id": 151644, "im_end_token_id": 151645, "assistant_token_id": 77091,
		"tts_pad_token_id": 151671, "tts_bos_token_id": 151672, "tts_eos_token_id": 151673,
		"talker_config/text_vocab_size": 151936, "talker_config/text_hidden_size": 2048, "talker_config/vocab_size": 3072,
		"talker_config/codec_pad_id": 2148, "talker_config/codec_bos_id": 2149, "talker_config/codec_eos_token_id": 2150,
		"talker_config/codec_think_id": 2154, "talker_config/codec_nothink_id": 2155,
		"talker_config/codec_think_bos_id": 2156, "talker_config/codec_think_eos_id": 2157,
		"talker_config/codec_language_id":                       map[string]int{"english": 2050, "chinese": 2055},
		"talker_config/rope_scaling/mrope_section":              []int{24, 20, 20},
		"talker_config/code_predictor_config/vocab_size":        2048,
		"talker_config/code_predictor_config/hidden_size":       1024,
		"talker_config/code_predictor_config/rope_theta":        1000000,
		"talker_config/code_predictor_config/head_dim":          128,
		"talker_config/code_predictor_config/num_code_groups":   16,
		"talker_config/code_predictor_config/num_hidden_layers": 5,
	}
	stack := func(at string, hidden, inner, layers int) {
		for k, v := range map[string]int{"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
			"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128} {
			set[at+k] = v
		}
	}
	stack("talker_config/", 2048, 6144, 28)
	stack("talker_config/code_predictor_config/", 1024, 3072, 5)
	return set
}

// declared writes a checkpoint of a configuration whose weights are a hole.
func declared(t *testing.T, set map[string]any) (dir string) {
	t.Helper()
	dir = t.TempDir()
	edited(t, dir, set)
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	must(t, err)
	weigh(t, dir, raw)
	return dir
}

// TestPublished: parameter counts of the published 1.7B model, per part, as its specification lists them.
func TestPublished(t *testing.T) {
	m := look[*inspect.Model](t, declared(t, published()), "model", inspect.Options{})
	got := map[string]int64{}
	for _, p := range m.Parts {
		got[p.Name] = p.Parameters
	}
	want := map[string]int64{
		"text embedding": 311_164_928, "text projection": 8_392_704, "codec embedding": 6_291_456,
		"talker layers": 1_409_408_000, "talker norm": 2_048, "codec head": 6_291_456,
		"predictor embeddings": 62_914_560, "predictor adapter": 2_098_176, "predictor layers": 78_654_720,
		"predictor norm": 1_024, "predictor heads": 31_457_280,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if m.Tensors != 404 || m.Parameters != 1_928_677_440-12_001_088 || m.Checks[0].Verdict != inspect.OK {
		t.Errorf("%d tensors, %d parameters, %+v", m.Tensors, m.Parameters, m.Checks)
	}
	h := look[*inspect.Heads](t, m.Dir, "head", inspect.Options{})
	if x := h.Heads[0]; h.EOS != 2150 || len(h.Heads) != 16 || x.Rows != 3072 || x.Reachable != 2049 || x.Suppressed != 1023 || x.Tied {
		t.Errorf("%d heads, end %d, first %+v", len(h.Heads), h.EOS, x)
	}
	l := look[*inspect.Layers](t, m.Dir, "layers", inspect.Options{})
	if len(l.Layers) != 1+2+1+28*7+1+15+1+5*7+15 {
		t.Errorf("%d layers", len(l.Layers))
	}
	text, codec := l.Layers[0], l.Layers[3]
	if text.Out != 151_936 || text.Role != "text vocabulary: tokens of the text" {
		t.Errorf("text table %+v", text)
	}
	if codec.Out != 3_072 || codec.Role != "codec vocabulary: codes of codebook 0, control ids, languages, speakers" {
		t.Errorf("codec table %+v", codec)
	}
}

// TestHuge: half a terabyte of weights that are not there; reading any large part of them would take minutes.
func TestHuge(t *testing.T) {
	set := published()
	set["talker_config/text_vocab_size"] = 1 << 27
	dir := declared(t, set)
	began := time.Now()
	for _, view := range headerViews {
		look[inspect.Result](t, dir, view, inspect.Options{})
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("the views took %v", d)
	}
}

// TestHole: with tensor data or without, the views say the same, in every form of checkpoint.
func TestHole(t *testing.T) {
	_, student, packed := forms(t)
	for _, dir := range []string{f32, bf16, student, packed} {
		bare := t.TempDir()
		head, err := ckpt.HeaderOnly(dir)
		must(t, err)
		must(t, os.CopyFS(bare, os.DirFS(dir)))
		must(t, os.Remove(filepath.Join(bare, "model.safetensors")))
		hole(t, filepath.Join(bare, "model.safetensors"), head.Infos)
		for _, view := range headerViews {
			want, got := object(t, look[inspect.Result](t, dir, view, inspect.Options{})), object(t, look[inspect.Result](t, bare, view, inspect.Options{}))
			for _, m := range []map[string]any{want, got} { // these differ with the folder and with the header's spelling
				maps.DeleteFunc(m, func(k string, _ any) bool { return k == "dir" || k == "files" || k == "weight_bytes" })
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s of %s (-with data +without):\n%s", view, dir, diff)
			}
		}
	}
}

// object is a result as JSON says it.
func object(t *testing.T, r inspect.Result) (m map[string]any) {
	t.Helper()
	b, err := json.Marshal(r)
	must(t, err)
	must(t, json.Unmarshal(b, &m))
	return m
}

// weigh gives a folder the hole that its configuration asks for.
func weigh(t *testing.T, dir string, raw []byte) {
	t.Helper()
	cfg, err := talker.ParseConfig(raw)
	must(t, err)
	m, err := talker.New(cfg)
	must(t, err)
	var infos []ckpt.Info
	for _, p := range nn.Params(m) {
		infos = append(infos, ckpt.Info{Name: p.Name, DType: "BF16", Shape: p.Shape})
	}
	hole(t, filepath.Join(dir, "model.safetensors"), infos)
}
