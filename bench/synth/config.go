package main

import (
	"encoding/json"
	"fmt"
	"maps"
)

// object is a JSON object; its keys are written in ascending order.
type object = map[string]any

// pretty is v as the published files have it: indented by two.
func pretty(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }

// kinds of published checkpoints.
var kinds = map[string]bool{"base": true, "custom_voice": true, "voice_design": true}

var sizeNames = map[string]string{"1.7b": "1b7", "0.6b": "0b6"}

// published refuses what does not exist.
func published(size, kind string) error {
	switch {
	case sizeNames[size] == "":
		return fmt.Errorf(`-size %q, want "1.7b" or "0.6b"`, size)
	case !kinds[kind]:
		return fmt.Errorf(`-kind %q, want "base", "custom_voice" or "voice_design"`, kind)
	case size == "0.6b" && kind == "voice_design":
		return fmt.Errorf("-size 0.6b -kind voice_design was never published, want -size 1.7b")
	}
	return nil
}

// modelConfig is config.json.
func modelConfig(size, kind string) object {
	c := object{
		"architectures": []string{"Qwen3TTSForConditionalGeneration"}, "model_type": "qwen3_tts",
		"tokenizer_type": "qwen3_tts_tokenizer_12hz", "tts_model_size": sizeNames[size], "tts_model_type": kind,
		"transformers_version": "4.57.3",
		"im_start_token_id":    imStart, "im_end_token_id": imEnd, "assistant_token_id": assistant,
		"tts_pad_token_id": ttsPad, "tts_bos_token_id": ttsBos, "tts_eos_token_id": ttsEos,
		"talker_config": talkerConfig(talkers[size], kind),
	}
	if kind == "base" {
		c["speaker_encoder_config"] = object{"enc_dim": talkers[size].hidden, "sample_rate": 24000}
	}
	return c
}

func talkerConfig(w width, kind string) object {
	languages := map[string]int{"english": 2050, "german": 2053, "spanish": 2054, "chinese": 2055, "japanese": 2058,
		"french": 2061, "korean": 2064, "russian": 2069, "italian": 2070, "portuguese": 2071}
	speakers, dialects := map[string]int{}, object{}
	if kind == "custom_voice" {
		maps.Copy(languages, map[string]int{"beijing_dialect": 2074, "sichuan_dialect": 2062})
		speakers = map[string]int{"serena": 3066, "vivian": 3065, "uncle_fu": 3010, "ryan": 3061, "aiden": 2861,
			"ono_anna": 2873, "sohee": 2864, "eric": 2875, "dylan": 2878}
		for name := range speakers {
			dialects[name] = false
		}
		dialects["eric"], dialects["dylan"] = "sichuan_dialect", "beijing_dialect"
	}
	t := stack(w)
	maps.Copy(t, object{
		"model_type": "qwen3_tts_talker", "vocab_size": codecVocab, "max_position_embeddings": 32768,
		"text_hidden_size": textHidden, "text_vocab_size": textVocab, "position_id_per_seconds": 13,
		"rope_scaling": object{"interleaved": true, "mrope_section": []int{24, 20, 20}, "rope_type": "default", "type": "default"},
		"codec_pad_id": 2148, "codec_bos_id": 2149, "codec_eos_token_id": 2150, "codec_think_id": 2154,
		"codec_nothink_id": 2155, "codec_think_bos_id": 2156, "codec_think_eos_id": 2157,
		"codec_language_id": languages, "spk_id": speakers, "spk_is_dialect": dialects,
	})
	p := stack(predictor)
	full := make([]string, predictor.layers)
	for i := range full {
		full[i] = "full_attention"
	}
	maps.Copy(p, object{"model_type": "qwen3_tts_talker_code_predictor", "vocab_size": codebook, "rope_scaling": nil,
		"max_position_embeddings": 65536, "layer_types": full, "tie_word_embeddings": false})
	t["code_predictor_config"] = p
	return t
}

// stack are the keys that the talker and its code predictor have in common.
func stack(w width) object {
	return object{
		"hidden_size": w.hidden, "intermediate_size": w.inner, "num_hidden_layers": w.layers,
		"num_attention_heads": heads, "num_key_value_heads": kvHeads, "head_dim": headDim, "num_code_groups": groups,
		"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000, "attention_bias": false, "attention_dropout": 0,
		"use_sliding_window": false, "sliding_window": nil, "use_cache": true, "initializer_range": 0.02,
	}
}

// codecConfig is speech_tokenizer/config.json.
func codecConfig() object {
	decoder := object{
		"attention_bias": false, "attention_dropout": 0, "latent_dim": 1024, "codebook_dim": 512, "codebook_size": codebook,
		"decoder_dim": 1536, "hidden_act": "silu", "hidden_size": 512, "intermediate_size": 1024,
		"layer_scale_initial_scale": 0.01, "max_position_embeddings": 8000, "head_dim": 64, "num_attention_heads": 16,
		"num_hidden_layers": 8, "num_key_value_heads": 16, "num_quantizers": groups, "num_semantic_quantizers": 1,
		"rms_norm_eps": 1e-5, "rope_theta": 10000, "semantic_codebook_size": 4096, "sliding_window": 72,
		"upsample_rates": []int{8, 5, 4, 3}, "upsampling_ratios": []int{2, 2}, "vector_quantization_hidden_dimension": 512,
	}
	encoder := object{
		"_frame_rate": 12.5, "attention_bias": false, "attention_dropout": 0, "audio_channels": 1, "codebook_dim": 256,
		"codebook_size": codebook, "compress": 2, "dilation_growth_rate": 2, "dtype": "float32", "head_dim": 64,
		"hidden_act": "gelu", "hidden_size": 512, "initializer_range": 0.02, "intermediate_size": 2048, "kernel_size": 7,
		"last_kernel_size": 3, "layer_scale_initial_scale": 0.01, "max_position_embeddings": 8000, "norm_eps": 1e-5,
		"normalize": false, "num_attention_heads": 8, "num_filters": 64, "num_hidden_layers": 8, "num_key_value_heads": 8,
		"num_quantizers": 32, "num_residual_layers": 1, "num_semantic_quantizers": 1, "pad_mode": "constant",
		"residual_kernel_size": 3, "rope_theta": 10000, "sampling_rate": 24000, "sliding_window": 250,
		"trim_right_ratio": 1, "upsample_groups": 512, "upsampling_ratios": []int{8, 6, 5, 4}, "use_cache": false,
		"use_causal_conv": true, "use_conv_shortcut": false, "use_streaming": false,
		"vector_quantization_hidden_dimension": 256, "transformers_version": "4.57.0.dev0",
	}
	return object{
		"architectures": []string{"Qwen3TTSTokenizerV2Model"}, "model_type": "qwen3_tts_tokenizer_12hz",
		"encoder_valid_num_quantizers": groups, "input_sample_rate": 24000, "output_sample_rate": 24000,
		"decode_upsample_rate": 1920, "encode_downsample_rate": 1920, "transformers_version": "4.57.3",
		"decoder_config": decoder, "encoder_config": encoder,
	}
}

// Small files that are the same beside all weights.
var (
	generationConfig = object{"do_sample": true, "repetition_penalty": 1.05, "temperature": 0.9, "top_p": 1.0, "top_k": 50,
		"subtalker_dosample": true, "subtalker_temperature": 0.9, "subtalker_top_p": 1.0, "subtalker_top_k": 50,
		"max_new_tokens": 8192}
	processorConfig = object{"padding_side": "left", "padding_value": 0.0, "processor_class": "Qwen3TTSProcessor",
		"return_attention_mask": true}
	codecProcessorConfig = object{"chunk_length_s": nil, "feature_extractor_type": "EncodecFeatureExtractor", "feature_size": 1,
		"overlap": nil, "padding_side": "right", "padding_value": 0.0, "return_attention_mask": true, "sampling_rate": 24000}
)
