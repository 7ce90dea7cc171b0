package export

import (
	"fmt"

	"github.com/qakd/qakd/pkg/talker"
)

// place is where a tensor of the checkpoint stands in the GGUF files.
type place struct {
	name string   // in the file
	ours []string // in the checkpoint: one, or as many as are stacked along a new outermost dimension
	head bool     // in talker.gguf; else in mmproj.gguf
}

// layerParts are the tensors of a decoder layer: ours, and the file's in the talker and in the code predictor.
var layerParts = [][3]string{
	{"input_layernorm", "attn_norm", "ln1"},
	{"self_attn.q_proj", "attn_q", "attn_q"},
	{"self_attn.k_proj", "attn_k", "attn_k"},
	{"self_attn.v_proj", "attn_v", "attn_v"},
	{"self_attn.q_norm", "attn_q_norm", "attn_q_norm"},
	{"self_attn.k_norm", "attn_k_norm", "attn_k_norm"},
	{"self_attn.o_proj", "attn_output", "attn_out"},
	{"post_attention_layernorm", "ffn_norm", "ln2"},
	{"mlp.gate_proj", "ffn_gate", "ffn_gate"},
	{"mlp.up_proj", "ffn_up", "ffn_up"},
	{"mlp.down_proj", "ffn_down", "ffn_down"},
}

// speakerParts are the convolutions of the speaker encoder.
func speakerParts() (list [][2]string) {
	list = [][2]string{
		{"blocks.0.conv", "a.conv1d.0"}, {"mfa.conv", "a.conv_out"}, {"asp.tdnn.conv", "a.asp_tdnn"}, {"asp.conv", "a.asp_attn"}, {"fc", "mm.a.fc"},
	}
	for b := 1; b <= 3; b++ {
		ours, theirs := fmt.Sprintf("blocks.%d.", b), fmt.Sprintf("a.blk.%d.", b)
		list = append(list, [][2]string{
			{ours + "tdnn1.conv", theirs + "conv_pw1"}, {ours + "tdnn2.conv", theirs + "conv_pw2"},
			{ours + "se_block.conv1", theirs + "se_conv1"}, {ours + "se_block.conv2", theirs + "se_conv2"},
		}...)
		for i := range 7 {
			list = append(list, [2]string{fmt.Sprintf("%sres2net_block.blocks.%d.conv", ours, i), fmt.Sprintf("%sres2.%d", theirs, i)})
		}
	}
	return list
}

// places lists where the tensors of a talker of this configuration stand, in the order of the files. What is folded into
// the token table is not among them.
func places(cfg *talker.Config) (list []place) {
	add := func(head bool, name string, ours ...string) {
		for i := range ours {
			ours[i] += ".weight"
		}
		list = append(list, place{name + ".weight", ours, head})
	}
	const predictor = "talker.code_predictor."
	add(true, "output", "talker.codec_head")
	add(true, "output_norm", "talker.model.norm")
	for i := range cfg.Talker.Layers {
		for _, p := range layerParts {
			add(true, fmt.Sprintf("blk.%d.%s", i, p[1]), fmt.Sprintf("talker.model.layers.%d.%s", i, p[0]))
		}
	}
	for _, p := range speakerParts() {
		add(false, p[1], "speaker_encoder."+p[0])
		list = append(list, place{p[1] + ".bias", []string{"speaker_encoder." + p[0] + ".bias"}, false})
	}
	if cfg.Adapter() {
		add(false, "a.gen.code.proj_in", predictor+"small_to_mtp_projection")
		list = append(list, place{"a.gen.code.proj_in.bias", []string{predictor + "small_to_mtp_projection.bias"}, false})
	}
	var tables, heads []string
	for j := range cfg.Groups() - 1 {
		tables = append(tables, fmt.Sprintf("%smodel.codec_embedding.%d", predictor, j))
		heads = append(heads, fmt.Sprintf("%slm_head.%d", predictor, j))
	}
	add(false, "a.gen.code.embd", tables...)
	add(false, "a.gen.code.head", heads...)
	add(false, "a.gen.code.out_embd", "talker.model.codec_embedding")
	add(false, "a.gen.code.output_norm", predictor+"model.norm")
	for i := range cfg.Talker.Predictor.Layers {
		for _, p := range layerParts {
			add(false, fmt.Sprintf("a.gen.code.blk.%d.%s", i, p[2]), fmt.Sprintf("%smodel.layers.%d.%s", predictor, i, p[0]))
		}
	}
	return list
}

// folded are the parts that the token table is computed from, which cannot be had back from it.
var folded = []string{"talker.model.text_embedding", "talker.text_projection.linear_fc1", "talker.text_projection.linear_fc2"}

// Names of the files.
const (
	talkerFile = "talker.gguf"
	mmprojFile = "mmproj.gguf"
	textFile   = "text.safetensors"
)

// Keys of our own, which llama.cpp passes over.
const (
	schemesKey = "qakd.quantization_config" // the schemes, where a block says less: groups of more than 32, "re:" entries
	dtypesKey  = "qakd.dtypes"              // JSON: dtypes that the checkpoint has for what the file has in F32
)
