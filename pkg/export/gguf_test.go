package export

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/gguf"
	"github.com/qakd/qakd/pkg/qat"
)

// ggufExport is the small talker as a GGUF folder, opened.
func ggufExport(t *testing.T, change func(*qat.Config)) (dir string, fake map[string][]float32, head, companion *gguf.File) {
	t.Helper()
	packed, fake := packed(t, change, nil)
	dir = filepath.Join(t.TempDir(), "gguf")
	must(Export(packed, dir, Options{Format: "gguf"}))(t)
	head, companion = must(gguf.Open(filepath.Join(dir, talkerFile)))(t), must(gguf.Open(filepath.Join(dir, mmprojFile)))(t)
	t.Cleanup(func() { head.Close(); companion.Close() })
	return packed, fake, head, companion
}

// The tensors that llama.cpp's loaders ask for, with their types and shapes.
func TestGGUFTensors(t *testing.T) {
	_, _, head, companion := ggufExport(t, nil)
	var want []string
	add := func(format string, args ...any) { want = append(want, fmt.Sprintf(format, args...)) }
	block := func(prefix, attn, ffn, out string, width, inner, q, kv, hd int) {
		add("%s%s.weight F32 [%d]", prefix, attn, width)
		add("%sattn_q.weight Q4_0 [%d %d]", prefix, q, width)
		add("%sattn_k.weight Q4_0 [%d %d]", prefix, kv, width)
		add("%sattn_v.weight Q4_0 [%d %d]", prefix, kv, width)
		add("%sattn_q_norm.weight F32 [%d]", prefix, hd)
		add("%sattn_k_norm.weight F32 [%d]", prefix, hd)
		add("%s%s.weight Q4_0 [%d %d]", prefix, out, width, q)
		add("%s%s.weight F32 [%d]", prefix, ffn, width)
		add("%sffn_gate.weight Q4_0 [%d %d]", prefix, inner, width)
		add("%sffn_up.weight Q4_0 [%d %d]", prefix, inner, width)
		add("%sffn_down.weight Q4_0 [%d %d]", prefix, width, inner)
	}
	add("token_embd.weight BF16 [1696 128]")
	add("output.weight Q4_0 [1088 128]")
	add("output_norm.weight F32 [128]")
	block("blk.0.", "attn_norm", "ffn_norm", "attn_output", 128, 256, 128, 64, 64)
	if d := cmp.Diff(want, names(head)); d != "" {
		t.Errorf("%s (-want +got):\n%s", talkerFile, d)
	}
	want = nil
	for _, p := range speakerParts() {
		add("%s.weight F32 [2 4 3]", p[1])
		add("%s.bias F32 [2]", p[1])
	}
	add("a.gen.code.proj_in.weight Q4_0 [64 128]")
	add("a.gen.code.proj_in.bias F32 [64]")
	add("a.gen.code.embd.weight BF16 [15 64 128]")
	add("a.gen.code.head.weight Q4_0 [15 64 64]")
	add("a.gen.code.out_embd.weight BF16 [1088 128]")
	add("a.gen.code.output_norm.weight F32 [64]")
	block("a.gen.code.blk.0.", "ln1", "ln2", "attn_out", 64, 128, 64, 32, 32)
	if d := cmp.Diff(want, names(companion)); d != "" {
		t.Errorf("%s (-want +got):\n%s", mmprojFile, d)
	}
}

func names(f *gguf.File) (out []string) {
	for _, i := range f.Tensors {
		out = append(out, i.String())
	}
	return out
}

func TestGGUFPairs(t *testing.T) {
	_, _, head, companion := ggufExport(t, nil)
	for _, c := range []struct {
		f    *gguf.File
		want map[string]any
	}{
		{head, map[string]any{
			"general.architecture": "qwen3tts", "general.file_type": uint32(2), "general.quantization_version": uint32(2),
			"qwen3tts.block_count": uint32(1), "qwen3tts.embedding_length": uint32(128), "qwen3tts.feed_forward_length": uint32(256),
			"qwen3tts.attention.head_count": uint32(2), "qwen3tts.attention.head_count_kv": uint32(1),
			"qwen3tts.attention.key_length": uint32(64), "qwen3tts.attention.layer_norm_rms_epsilon": float32(1e-6),
			"qwen3tts.context_length": uint32(32768), "qwen3tts.rope.freq_base": float32(10000), "qwen3tts.vocab_size": uint32(1696),
			"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.eos_token_id": uint32(608 + 166),
			"tokenizer.ggml.add_eos_token": false,
		}},
		{companion, map[string]any{
			"general.architecture": "clip", "clip.has_audio_encoder": true, "clip.has_gen_audio_encoder": true,
			"clip.audio.projector_type": "qwen3tts_spkenc", "clip.gen.audio.projector_type": "qwen3tts_gen",
			"clip.audio.projection_dim": uint32(128), "clip.audio.block_count": uint32(3),
			"clip.gen.audio.embedding_length": uint32(64), "clip.gen.audio.feed_forward_length": uint32(128),
			"clip.gen.audio.block_count": uint32(1), "clip.gen.audio.attention.head_count": uint32(2),
			"clip.gen.audio.attention.head_count_kv": uint32(1), "clip.gen.audio.projection_dim": uint32(128),
			"clip.gen.audio.attention.layer_norm_epsilon": float32(1e-6),
		}},
	} {
		for key, want := range c.want {
			if got, ok := c.f.Get(key); !ok || got != want {
				t.Errorf("%s is %v, want %v", key, got, want)
			}
		}
	}
	sections, _ := head.Get("qwen3tts.rope.dimension_sections")
	if s, ok := sections.([]int32); !ok || len(s) != 4 {
		t.Errorf("rope.dimension_sections is %v, want four", sections)
	}
	tokens, _ := head.Get("tokenizer.ggml.tokens")
	kinds, _ := head.Get("tokenizer.ggml.token_type")
	list, of := tokens.([]string), kinds.([]int32)
	if len(list) != 1696 || len(of) != 1696 {
		t.Fatalf("%d tokens of %d kinds, want 1696", len(list), len(of))
	}
	for id, want := range map[int]string{608 + 165: "<|codec_bos|>", 608 + 166: "<|codec_eos_token|>", 608: "<|codec_0|>", 608 + 172: "<|codec_think_bos|>"} {
		if list[id] != want || of[id] != tokenControl {
			t.Errorf("token %d is %q of kind %d, want %q", id, list[id], of[id], want)
		}
	}
	if i := slices.Index(list, "Ġ"); i < 0 || of[i] != tokenNormal {
		t.Errorf("the space is token %d", i)
	}
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s] {
			t.Errorf("token %q is there twice", s)
		}
		seen[s] = true
	}
	suppress, _ := head.Get("tokenizer.ggml.suppress_tokens")
	if s := suppress.([]int32); len(s) != 1088-64-1 || s[0] != 608+64 || slices.Contains(s, 608+166) {
		t.Errorf("%d tokens are suppressed, from %d on", len(s), s[0])
	}
	merges, _ := head.Get("tokenizer.ggml.merges")
	if m := merges.([]string); len(m) == 0 || len(strings.Fields(m[0])) != 2 {
		t.Errorf("merges %v", m)
	}
}

// What blocks hold, by the format's own arithmetic, is the fake-quantized weight, bit for bit; stacks are in order.
func TestGGUFValues(t *testing.T) {
	for _, c := range []struct {
		lattice int
		kind    gguf.Type
	}{{0, gguf.Q4_0}, {1, gguf.Q4_0}, {7, gguf.Q8_0}} {
		_, fake, head, companion := ggufExport(t, lattices[c.lattice].change)
		compare := func(f *gguf.File, name string, want []float32) {
			info, data, err := f.Bytes(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := must(gguf.Dequantize(info.Type, data))(t); info.Type != c.kind || firstDifference(got, want) >= 0 {
				t.Errorf("%s: %v differs at %d", lattices[c.lattice].name, info, firstDifference(got, want))
			}
		}
		compare(head, "blk.0.ffn_down.weight", fake["talker.model.layers.0.mlp.down_proj"])
		compare(head, "blk.0.attn_q.weight", fake["talker.model.layers.0.self_attn.q_proj"])
		compare(companion, "a.gen.code.blk.0.attn_out.weight", fake["talker.code_predictor.model.layers.0.self_attn.o_proj"])
		if c.lattice == 1 {
			continue // the heads are float there
		}
		var heads []float32
		for j := range 15 {
			heads = append(heads, fake[fmt.Sprintf("talker.code_predictor.lm_head.%d", j)]...)
		}
		compare(companion, "a.gen.code.head.weight", heads)
	}
}

// The table's rows are those of the text projection, in plain loops, and of the codec embedding as it is.
func TestTokenTable(t *testing.T) {
	dir, fake, head, _ := ggufExport(t, nil)
	src := must(ckpt.Open(dir))(t)
	defer src.Close()
	read := func(name string) []float32 {
		info, data, err := src.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		return must(floats(info.DType, data))(t)
	}
	const width = 128
	_, data, err := head.Bytes("token_embd.weight")
	if err != nil {
		t.Fatal(err)
	}
	table := must(floats("BF16", data))(t)
	text := read("talker.model.text_embedding.weight")
	linear := func(x []float64, w []float32, b []float32) []float64 {
		y := make([]float64, len(b))
		for o := range y {
			for i, v := range x {
				y[o] += v * float64(w[o*len(x)+i])
			}
			y[o] += float64(b[o])
		}
		return y
	}
	for _, id := range []int{0, 1, 300, 607} {
		x := make([]float64, width)
		for i := range x {
			x[i] = float64(text[id*width+i])
		}
		h := linear(x, fake["talker.text_projection.linear_fc1"], read("talker.text_projection.linear_fc1.bias"))
		for i, v := range h {
			h[i] = v / (1 + math.Exp(-v))
		}
		for i, want := range linear(h, fake["talker.text_projection.linear_fc2"], read("talker.text_projection.linear_fc2.bias")) {
			if got := float64(table[id*width+i]); math.Abs(got-want) > 1.0/256*math.Abs(want)+1e-6 {
				t.Fatalf("row %d, column %d: %v, want %v within bf16's rounding", id, i, got, want)
			}
		}
	}
	if i := firstDifference(table[608*width:], read("talker.model.codec_embedding.weight")); i >= 0 {
		t.Errorf("the codec's rows differ at %d", i)
	}
}

// The codec's decoder in mmproj.gguf: every tensor of the checkpoint's has its place, and what is computed is right.
func TestGGUFCodec(t *testing.T) {
	teacher := must(demo.TeacherDir())(t)
	dir, _ := packedFrom(t, teacher, nil, nil)
	out := filepath.Join(t.TempDir(), "gguf")
	r := must(Export(dir, out, Options{Format: "gguf"}))(t)
	if !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "1088 instead of 3072") }) {
		t.Errorf("notes %q", r.Notes)
	}
	f := must(gguf.Open(filepath.Join(out, mmprojFile)))(t)
	defer f.Close()
	src := must(ckpt.Open(filepath.Join(teacher, "speech_tokenizer")))(t)
	defer src.Close()
	decoder, placed := 0, 0
	for _, info := range src.Infos() {
		if strings.HasPrefix(info.Name, "decoder.") {
			decoder++
		}
	}
	for _, info := range f.Tensors {
		if strings.HasPrefix(info.Name, "a.gen.wav.") {
			placed++
		}
	}
	// 16 codebooks of two tensors are two tensors here.
	if want := decoder - 32 + 2; placed != want {
		t.Errorf("%d tensors of the codec are placed, want %d", placed, want)
	}
	read := func(name string) []float32 {
		info, data, err := src.Bytes("decoder." + name)
		if err != nil {
			t.Fatal(err)
		}
		return must(floats(info.DType, data))(t)
	}
	got := func(name string) []float32 {
		_, data, err := f.Bytes("a.gen.wav." + name)
		if err != nil {
			t.Fatal(err)
		}
		return must(floats("F32", data))(t)
	}
	alpha, beta := read("decoder.1.block.3.act2.alpha"), read("decoder.1.block.3.act2.beta")
	for i, v := range got("dac.blk.0.res.1.act2.alpha") {
		if want := math.Exp(float64(alpha[i])); math.Abs(float64(v)-want) > 1e-6*want {
			t.Errorf("alpha %d is %v, want %v", i, v, want)
		}
	}
	for i, v := range got("dac.blk.0.res.1.act2.beta") {
		if want := 1 / (math.Exp(float64(beta[i])) + 1e-9); math.Abs(float64(v)-want) > 1e-6*want {
			t.Errorf("beta %d is %v, want %v", i, v, want)
		}
	}
	sum, usage := read("quantizer.rvq_rest.vq.layers.14._codebook.embedding_sum"), read("quantizer.rvq_rest.vq.layers.14._codebook.cluster_usage")
	books := got("quant.rest.codebook.weight")
	for i := range sum {
		if want := sum[i] / max(usage[i/32], 1e-5); books[14*len(sum)+i] != want {
			t.Fatalf("vector %d of codebook 14 is %v, want %v", i, books[14*len(sum)+i], want)
		}
	}
	if i := firstDifference(got("pre_conv.weight"), read("pre_conv.conv.weight")); i >= 0 {
		t.Errorf("pre_conv differs at %d", i)
	}
}
