package talker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
)

// Keys without which a zero would pass for a value.
var (
	requiredTop   = strings.Fields(`model_type tts_model_type im_start_token_id im_end_token_id assistant_token_id tts_pad_token_id tts_bos_token_id tts_eos_token_id talker_config`)
	requiredStack = strings.Fields(`hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim vocab_size num_code_groups rms_norm_eps rope_theta hidden_act`)
	requiredTalk  = strings.Fields(`text_hidden_size text_vocab_size code_predictor_config codec_pad_id codec_bos_id codec_eos_token_id codec_think_id codec_nothink_id codec_think_bos_id codec_think_eos_id codec_language_id`)
)

// missingKeys names the required keys that raw lacks; err says that raw is no JSON object.
func missingKeys(raw []byte) (missing, err error) {
	var list []error
	object := func(at string, raw []byte, keys ...string) map[string]json.RawMessage {
		var m map[string]json.RawMessage
		if e := json.Unmarshal(raw, &m); e != nil {
			err = errors.Join(err, fmt.Errorf("key %q: want an object: %w", at, e))
			return nil
		}
		for _, k := range keys {
			if _, ok := m[k]; !ok {
				list = append(list, fmt.Errorf("key %q is missing, want a value", at+k))
			}
		}
		return m
	}
	top := object("", raw, requiredTop...)
	if t, ok := top["talker_config"]; ok {
		talker := object("talker_config.", t, append(requiredStack, requiredTalk...)...)
		if p, ok := talker["code_predictor_config"]; ok {
			object("talker_config.code_predictor_config.", p, requiredStack...)
		}
	}
	return errors.Join(list...), err
}

// Validate reports every value that this package cannot serve.
func (c *Config) Validate() error {
	var p ckpt.Violations
	t, cp := &c.Talker, &c.Talker.Predictor
	p.Want(c.ModelType == "qwen3_tts", "model_type", c.ModelType, `"qwen3_tts"`)
	kind := c.Type == Base || c.Type == CustomVoice || c.Type == VoiceDesign
	p.Want(kind, "tts_model_type", c.Type, `"base", "custom_voice" or "voice_design"`)
	t.validate(&p, "talker_config.")
	cp.validate(&p, "talker_config.code_predictor_config.")
	p.Want(cp.Scaling == nil || len(cp.Scaling.Sections) == 0, "talker_config.code_predictor_config.rope_scaling.mrope_section",
		cp.Scaling, "none: the code predictor's positions are plain")
	p.Want(cp.Groups == t.Groups, "talker_config.code_predictor_config.num_code_groups", cp.Groups, "%d, as talker_config has", t.Groups)
	p.Want(cp.MaxPositions == 0 || cp.MaxPositions >= int64(cp.Groups), "talker_config.code_predictor_config.max_position_embeddings",
		cp.MaxPositions, "at least num_code_groups %d", cp.Groups)
	p.Want(t.TextHidden > 0 && t.TextHidden <= mostWidth, "talker_config.text_hidden_size", t.TextHidden, "1 to %d", mostWidth)
	p.Want(t.TextVocab > 0 && t.TextVocab <= mostRows, "talker_config.text_vocab_size", t.TextVocab, "1 to %d", mostRows)
	p.Want(t.Vocab > suppressed, "talker_config.vocab_size", t.Vocab, "more than %d: codes, then %d control ids", suppressed, suppressed)
	p.Want(cp.Vocab <= t.Vocab-suppressed, "talker_config.code_predictor_config.vocab_size", cp.Vocab,
		"at most %d, the codes of codebook 0", t.Vocab-suppressed)
	for key, id := range map[string]int32{"im_start_token_id": c.ImStart, "im_end_token_id": c.ImEnd,
		"assistant_token_id": c.Assistant, "tts_pad_token_id": c.PadText, "tts_bos_token_id": c.BosText,
		"tts_eos_token_id": c.EosText} {
		p.Want(id >= 0 && int64(id) < t.TextVocab, key, id, "an id below text_vocab_size %d", t.TextVocab)
	}
	t.validateIDs(&p)
	return p.Err()
}

func (t *TalkerConfig) validateIDs(p *ckpt.Violations) {
	id := func(key string, id int32) {
		p.Want(id >= 0 && int64(id) < t.Vocab, "talker_config."+key, id, "an id below vocab_size %d", t.Vocab)
	}
	for key, v := range map[string]int32{"codec_pad_id": t.CodecPad, "codec_bos_id": t.CodecBos,
		"codec_eos_token_id": t.CodecEos, "codec_think_id": t.Think, "codec_nothink_id": t.NoThink,
		"codec_think_bos_id": t.ThinkBos, "codec_think_eos_id": t.ThinkEos} {
		id(key, v)
	}
	p.Want(int64(t.CodecEos) >= t.Predictor.Vocab, "talker_config.codec_eos_token_id", t.CodecEos, "an id above the %d codes", t.Predictor.Vocab)
	for name, v := range t.LanguageIDs {
		id("codec_language_id."+name, v)
	}
	for name, v := range t.SpeakerIDs {
		id("spk_id."+name, v)
	}
	for name, d := range t.SpeakerTongue {
		_, ok := t.LanguageIDs[string(d)]
		p.Want(d == "" || ok, "talker_config.spk_is_dialect."+name, d, "false or a key of codec_language_id")
	}
}

// Far above any published model: 28 layers, 16 groups, widths of 6144, 151936 text tokens.
const mostLayers, mostGroups, mostWidth, mostRows = 1024, 256, 1 << 20, 1 << 28

func (s *Stack) validate(p *ckpt.Violations, at string) {
	// A corrupt count must not declare modules until the memory is full, nor a product of sizes overflow.
	for _, f := range []struct {
		key     string
		v, most int64
	}{{"hidden_size", s.Hidden, mostWidth}, {"intermediate_size", s.Intermediate, mostWidth},
		{"num_hidden_layers", int64(s.Layers), mostLayers}, {"num_attention_heads", s.Heads, mostWidth},
		{"num_key_value_heads", s.KVHeads, mostWidth}, {"head_dim", s.HeadDim, mostWidth}, {"vocab_size", s.Vocab, mostRows}} {
		p.Want(f.v > 0, at+f.key, f.v, "a positive number")
		p.Want(f.v <= f.most, at+f.key, f.v, "at most %d", f.most)
	}
	p.Want(s.Groups >= 2 && s.Groups <= mostGroups, at+"num_code_groups", s.Groups, "2 to %d", mostGroups)
	p.Want(s.KVHeads <= 0 || s.Heads%s.KVHeads == 0, at+"num_key_value_heads", s.KVHeads, "a divisor of num_attention_heads %d", s.Heads)
	p.Want(s.MaxPositions >= 0, at+"max_position_embeddings", s.MaxPositions, "a positive number")
	p.Want(s.HeadDim%2 == 0, at+"head_dim", s.HeadDim, "an even number")
	p.Want(s.Eps > 0 && s.Eps < 1, at+"rms_norm_eps", s.Eps, "a number between 0 and 1")
	p.Want(s.Theta >= 1, at+"rope_theta", s.Theta, "at least 1")
	p.Want(s.Act == "silu", at+"hidden_act", s.Act, `"silu"`)
	p.Want(!s.AttentionBias, at+"attention_bias", s.AttentionBias, "false")
	p.Want(!s.UseSlidingWindow, at+"use_sliding_window", s.UseSlidingWindow, "false")
	p.Want(!s.TieEmbeddings, at+"tie_word_embeddings", s.TieEmbeddings, "false")
	if r := s.Scaling; r != nil {
		p.Want(r.Type == "" || r.Type == "default", at+"rope_scaling.rope_type", r.Type, `"default"`)
		p.Want(r.OldType == "" || r.OldType == "default", at+"rope_scaling.type", r.OldType, `"default"`)
		err := s.rotary().Validate()
		p.Want(err == nil, at+"rope_scaling.mrope_section", r.Sections, "three numbers with sum head_dim/2 = %d", s.HeadDim/2)
	}
}

// suppressed is the number of ids above the codes: control tokens, languages, speakers. Decoding never draws one of
// them, except the end.
const suppressed = 1024

// Suppressed tells whether decoding never draws this id of the codec vocabulary as code 0: it is a control token, a
// language or a speaker, and not the end.
func (t *TalkerConfig) Suppressed(id int64) bool {
	return id >= t.Vocab-suppressed && id != int64(t.CodecEos)
}

func (s *Stack) rotary() nn.Rotary {
	r := nn.Rotary{D: s.HeadDim, Theta: s.Theta}
	if s.Scaling != nil {
		r.Sections, r.Interleaved = s.Scaling.Sections, s.Scaling.Interleaved
	}
	return r
}

func (s *Stack) decoder() nn.DecoderConfig {
	return nn.DecoderConfig{
		Attention: nn.AttentionConfig{Width: s.Hidden, Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim, Eps: s.Eps},
		Inner:     s.Intermediate,
		Layers:    s.Layers,
		Rotary:    s.rotary(),
	}
}
