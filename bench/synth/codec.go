package main

import "fmt"

// codecTensors are those of the 12 Hz speech tokenizer, encoder and decoder.
func codecTensors() list {
	var l list
	l.codecEncoder()
	l.codecDecoder()
	return l
}

// codecEncoder: convolutions that shorten 960-fold, a transformer, one more halving, and the quantizers.
func (l *list) codecEncoder() {
	const at, latent, inner, code = "encoder.encoder.layers.", 512, 2048, 256
	l.affine(at+"0.conv", 64, 1, 7)
	wide := int64(64)
	for i, stride := range []int64{4, 5, 6, 8} {
		l.affine(fmt.Sprintf("%s%d.block.1.conv", at, 3*i+1), wide/2, wide, 3)
		l.affine(fmt.Sprintf("%s%d.block.3.conv", at, 3*i+1), wide, wide/2, 1)
		l.affine(fmt.Sprintf("%s%d.conv", at, 3*i+3), 2*wide, wide, 2*stride)
		wide *= 2
	}
	l.affine(at+"14.conv", latent, wide, 3)
	for i := range 8 {
		layer := fmt.Sprintf("encoder.encoder_transformer.layers.%d.", i)
		for _, norm := range []string{"input_layernorm", "post_attention_layernorm"} {
			l.affine(layer+norm, latent)
		}
		for _, p := range []string{"q_proj", "k_proj", "v_proj", "o_proj"} {
			l.add(layer+"self_attn."+p+".weight", latent, latent)
		}
		l.add(layer+"self_attn_layer_scale.scale", latent)
		l.add(layer+"mlp.fc1.weight", inner, latent)
		l.add(layer+"mlp.fc2.weight", latent, inner)
		l.add(layer+"mlp_layer_scale.scale", latent)
	}
	l.add("encoder.downsample.conv.weight", latent, latent, 4)
	for part, stages := range map[string]int{"semantic": 1, "acoustic": 31} {
		q := "encoder.quantizer." + part + "_residual_vector_quantizer."
		l.add(q+"input_proj.weight", code, latent, 1)
		l.add(q+"output_proj.weight", latent, code, 1)
		for i := range stages {
			book := fmt.Sprintf("%slayers.%d.codebook.", q, i)
			l.add(book+"initialized", 1)
			l.add(book+"cluster_usage", codebook)
			l.add(book+"embed_sum", codebook, code)
		}
	}
}

// codecDecoder: the quantizers' tables, a windowed transformer, and convolutions that lengthen 1920-fold.
func (l *list) codecDecoder() {
	const (
		hidden, inner, attention, latent = 512, 1024, 1024, 1024
		code                             = 256
	)
	for part, stages := range map[string]int{"first": 1, "rest": groups - 1} {
		q := "decoder.quantizer.rvq_" + part + "."
		l.add(q+"input_proj.weight", code, hidden, 1)
		l.add(q+"output_proj.weight", hidden, code, 1)
		for i := range stages {
			book := fmt.Sprintf("%svq.layers.%d._codebook.", q, i)
			l.add(book+"cluster_usage", codebook)
			l.add(book+"embedding_sum", codebook, code)
		}
	}
	l.affine("decoder.pre_conv.conv", latent, hidden, 3)
	const pre = "decoder.pre_transformer."
	l.affine(pre+"input_proj", hidden, latent)
	for i := range 8 {
		layer := fmt.Sprintf("%slayers.%d.", pre, i)
		l.add(layer+"input_layernorm.weight", hidden)
		l.add(layer+"post_attention_layernorm.weight", hidden)
		for _, p := range []string{"q_proj", "k_proj", "v_proj"} {
			l.add(layer+"self_attn."+p+".weight", attention, hidden)
		}
		l.add(layer+"self_attn.o_proj.weight", hidden, attention)
		l.add(layer+"self_attn_layer_scale.scale", hidden)
		l.add(layer+"mlp.gate_proj.weight", inner, hidden)
		l.add(layer+"mlp.up_proj.weight", inner, hidden)
		l.add(layer+"mlp.down_proj.weight", hidden, inner)
		l.add(layer+"mlp_layer_scale.scale", hidden)
	}
	l.add(pre+"norm.weight", hidden)
	l.affine(pre+"output_proj", latent, hidden)
	for i := range 2 {
		at := fmt.Sprintf("decoder.upsample.%d.", i)
		l.affine(at+"0.conv", latent, latent, 2)
		l.affine(at+"1.dwconv.conv", latent, 1, 7)
		l.affine(at+"1.norm", latent)
		l.affine(at+"1.pwconv1", 4*latent, latent)
		l.affine(at+"1.pwconv2", latent, 4*latent)
		l.add(at+"1.gamma", latent)
	}
	l.waveform(latent)
}

// waveform is the last part of the decoder, from latents to samples.
func (l *list) waveform(latent int64) {
	wide := int64(1536)
	l.affine("decoder.decoder.0.conv", wide, latent, 7)
	for b, stride := range []int64{8, 5, 4, 3} {
		at := fmt.Sprintf("decoder.decoder.%d.block.", b+1)
		l.snake(at+"0", wide)
		l.add(at+"1.conv.weight", wide, wide/2, 2*stride) // transposed: in, out
		wide /= 2
		l.add(at+"1.conv.bias", wide)
		for unit := 2; unit <= 4; unit++ {
			u := fmt.Sprintf("%s%d.", at, unit)
			l.snake(u+"act1", wide)
			l.affine(u+"conv1.conv", wide, wide, 7)
			l.snake(u+"act2", wide)
			l.affine(u+"conv2.conv", wide, wide, 1)
		}
	}
	l.snake("decoder.decoder.5", wide)
	l.affine("decoder.decoder.6.conv", 1, wide, 7)
}

// snake is the two vectors of a SnakeBeta activation.
func (l *list) snake(path string, channels int64) {
	l.add(path+".alpha", channels)
	l.add(path+".beta", channels)
}
