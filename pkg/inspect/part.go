package inspect

import "strings"

// part is a stretch of the model that has a name of its own; order is that of the computation.
type part struct {
	prefix, name string
	foreign      bool // no part of the talker: carried along in the same file
}

var parts = []part{
	{prefix: "talker.model.text_embedding.", name: "text embedding"},
	{prefix: "talker.text_projection.", name: "text projection"},
	{prefix: "talker.model.codec_embedding.", name: "codec embedding"},
	{prefix: "talker.model.layers.", name: "talker layers"},
	{prefix: "talker.model.norm.", name: "talker norm"},
	{prefix: "talker.codec_head.", name: "codec head"},
	{prefix: "talker.code_predictor.model.codec_embedding.", name: "predictor embeddings"},
	{prefix: "talker.code_predictor.small_to_mtp_projection.", name: "predictor adapter"},
	{prefix: "talker.code_predictor.model.layers.", name: "predictor layers"},
	{prefix: "talker.code_predictor.model.norm.", name: "predictor norm"},
	{prefix: "talker.code_predictor.lm_head.", name: "predictor heads"},
	{prefix: "speaker_encoder.", name: "speaker encoder", foreign: true},
	{prefix: "speech_tokenizer.", name: "speech tokenizer", foreign: true},
}

// partOf the model that a tensor belongs to; "unknown" for one that no part has.
func partOf(name string) part {
	for _, p := range parts {
		if strings.HasPrefix(name, p.prefix) {
			return p
		}
	}
	return part{name: "unknown"}
}
