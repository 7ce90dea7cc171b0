package main

import "fmt"

// tensor of the published inventory.
type tensor struct {
	name  string
	shape []int64
}

// list of tensors; the published names are made of the same few parts.
type list []tensor

func (l *list) add(name string, shape ...int64) { *l = append(*l, tensor{name, shape}) }

// affine is a layer [shape...] with a bias of its first size.
func (l *list) affine(path string, shape ...int64) {
	l.add(path+".weight", shape...)
	l.add(path+".bias", shape[0])
}

// width of a stack of decoder layers.
type width struct{ hidden, inner, layers int64 }

// Both sizes of the model, and the code predictor that they share.
var (
	talkers   = map[string]width{"1.7b": {2048, 6144, 28}, "0.6b": {1024, 3072, 28}}
	predictor = width{1024, 3072, 5}
)

const (
	heads, kvHeads, headDim = 16, 8, 128
	textVocab, textHidden   = 151936, 2048
	codecVocab, codebook    = 3072, 2048
	groups                  = 16
)

// layers of the talker or of its code predictor.
func (l *list) layers(path string, w width) {
	for i := range w.layers {
		at := fmt.Sprintf("%s.layers.%d.", path, i)
		l.add(at+"input_layernorm.weight", w.hidden)
		l.add(at+"post_attention_layernorm.weight", w.hidden)
		l.add(at+"self_attn.q_proj.weight", heads*headDim, w.hidden)
		l.add(at+"self_attn.k_proj.weight", kvHeads*headDim, w.hidden)
		l.add(at+"self_attn.v_proj.weight", kvHeads*headDim, w.hidden)
		l.add(at+"self_attn.o_proj.weight", w.hidden, heads*headDim)
		l.add(at+"self_attn.q_norm.weight", headDim)
		l.add(at+"self_attn.k_norm.weight", headDim)
		l.add(at+"mlp.gate_proj.weight", w.inner, w.hidden)
		l.add(at+"mlp.up_proj.weight", w.inner, w.hidden)
		l.add(at+"mlp.down_proj.weight", w.hidden, w.inner)
	}
	l.add(path+".norm.weight", w.hidden)
}

// talkerTensors are those of the talker and its code predictor.
func talkerTensors(size string) list {
	w := talkers[size]
	var l list
	l.add("talker.model.text_embedding.weight", textVocab, textHidden)
	l.add("talker.model.codec_embedding.weight", codecVocab, w.hidden)
	l.affine("talker.text_projection.linear_fc1", textHidden, textHidden)
	l.affine("talker.text_projection.linear_fc2", w.hidden, textHidden)
	l.layers("talker.model", w)
	l.add("talker.codec_head.weight", codecVocab, w.hidden)

	const sub = "talker.code_predictor."
	l.layers(sub+"model", predictor)
	for g := range groups - 1 {
		l.add(fmt.Sprintf("%smodel.codec_embedding.%d.weight", sub, g), codebook, w.hidden)
		l.add(fmt.Sprintf("%slm_head.%d.weight", sub, g), codebook, predictor.hidden)
	}
	if w.hidden != predictor.hidden {
		l.affine(sub+"small_to_mtp_projection", predictor.hidden, w.hidden)
	}
	return l
}

// speakerTensors are those of the speaker encoder, which Base checkpoints have.
func speakerTensors(size string) list {
	const (
		mels, channels, pooled = 128, 512, 1536
		parts                  = 8        // of a Res2Net block
		squeeze, attention     = 128, 128 // channels inside squeeze-and-excitation, and inside the pooling's attention
	)
	var l list
	l.affine("speaker_encoder.blocks.0.conv", channels, mels, 5)
	for b := 1; b <= 3; b++ {
		at := fmt.Sprintf("speaker_encoder.blocks.%d.", b)
		l.affine(at+"tdnn1.conv", channels, channels, 1)
		for i := range parts - 1 {
			l.affine(fmt.Sprintf("%sres2net_block.blocks.%d.conv", at, i), channels/parts, channels/parts, 3)
		}
		l.affine(at+"tdnn2.conv", channels, channels, 1)
		l.affine(at+"se_block.conv1", squeeze, channels, 1)
		l.affine(at+"se_block.conv2", channels, squeeze, 1)
	}
	l.affine("speaker_encoder.mfa.conv", pooled, 3*channels, 1)
	l.affine("speaker_encoder.asp.tdnn.conv", attention, 3*pooled, 1)
	l.affine("speaker_encoder.asp.conv", pooled, attention, 1)
	l.affine("speaker_encoder.fc", talkers[size].hidden, 2*pooled, 1)
	return l
}
