package talker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Config is a checkpoint's config.json. Raw has the file as it is, with the keys that nothing here reads.
type Config struct {
	ModelType     string       `json:"model_type"`     // "qwen3_tts"
	TokenizerType string       `json:"tokenizer_type"` // "qwen3_tts_tokenizer_12hz"
	Size          string       `json:"tts_model_size"` // "1b7", "0b6"
	Type          string       `json:"tts_model_type"` // "base", "custom_voice", "voice_design"
	ImStart       int32        `json:"im_start_token_id"`
	ImEnd         int32        `json:"im_end_token_id"`
	Assistant     int32        `json:"assistant_token_id"`
	PadText       int32        `json:"tts_pad_token_id"`
	BosText       int32        `json:"tts_bos_token_id"`
	EosText       int32        `json:"tts_eos_token_id"`
	Talker        TalkerConfig `json:"talker_config"`

	Path string `json:"-"` // the file
	Raw  []byte `json:"-"` // its bytes

	kept []int32 // text ids of a pruned checkpoint; see Kept
}

// Stack is what the talker and the code predictor have in common.
type Stack struct {
	Hidden           int64   `json:"hidden_size"`
	Intermediate     int64   `json:"intermediate_size"`
	Layers           int     `json:"num_hidden_layers"`
	Heads            int64   `json:"num_attention_heads"`
	KVHeads          int64   `json:"num_key_value_heads"`
	HeadDim          int64   `json:"head_dim"`
	Vocab            int64   `json:"vocab_size"`
	Groups           int     `json:"num_code_groups"`
	Eps              float64 `json:"rms_norm_eps"`
	Theta            float64 `json:"rope_theta"`
	Act              string  `json:"hidden_act"`
	AttentionBias    bool    `json:"attention_bias"`
	UseSlidingWindow bool    `json:"use_sliding_window"`
	TieEmbeddings    bool    `json:"tie_word_embeddings"`
	Scaling          *Rope   `json:"rope_scaling"`            // null: plain
	MaxPositions     int64   `json:"max_position_embeddings"` // rows of a sequence; 0, or an absent key: no limit is known
}

// Rope is rope_scaling: how three position streams share the frequencies. They are always equal in this model.
type Rope struct {
	Interleaved bool    `json:"interleaved"`
	Sections    []int64 `json:"mrope_section"`
	Type        string  `json:"rope_type"`
	OldType     string  `json:"type"` // the key's name in older files
}

// TalkerConfig is talker_config.
type TalkerConfig struct {
	Stack
	TextHidden    int64              `json:"text_hidden_size"`
	TextVocab     int64              `json:"text_vocab_size"`
	TextKept      int64              `json:"text_vocab_kept"` // rows of a pruned text embedding; 0, or an absent key: all
	Predictor     Stack              `json:"code_predictor_config"`
	CodecPad      int32              `json:"codec_pad_id"`
	CodecBos      int32              `json:"codec_bos_id"`
	CodecEos      int32              `json:"codec_eos_token_id"`
	Think         int32              `json:"codec_think_id"`
	NoThink       int32              `json:"codec_nothink_id"`
	ThinkBos      int32              `json:"codec_think_bos_id"`
	ThinkEos      int32              `json:"codec_think_eos_id"`
	LanguageIDs   map[string]int32   `json:"codec_language_id"`
	SpeakerIDs    map[string]int32   `json:"spk_id"`
	SpeakerTongue map[string]Dialect `json:"spk_is_dialect"`
}

// Dialect is a value of spk_is_dialect: the name of a dialect, or "" where the file says false.
type Dialect string

// UnmarshalJSON accepts false and a string.
func (d *Dialect) UnmarshalJSON(b []byte) error {
	if string(b) == "false" {
		*d = ""
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("value %s, want false or the name of a dialect", b)
	}
	*d = Dialect(s)
	return nil
}

// ReadConfig reads and validates dir/config.json.
func ReadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("talker: %s is a file, want a checkpoint folder with config.json: %w", dir, syscall.ENOTDIR)
	case err != nil:
		return nil, fmt.Errorf("talker: checkpoint folder: %w", err)
	}
	cfg, err := ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("talker: %s: %w", path, err)
	}
	cfg.Path = path
	if cfg.Talker.TextKept > 0 {
		if cfg.kept, err = readKept(dir, cfg); err != nil {
			return nil, fmt.Errorf("talker: %s: %w", dir, err)
		}
	}
	return cfg, nil
}

// ParseConfig reads the text of a config.json, that of a whole model or of a talker that was saved alone (see whole).
// The error lists every missing key and every bad value.
func ParseConfig(raw []byte) (*Config, error) {
	raw, err := whole(raw)
	if err != nil {
		return nil, err
	}
	cfg := &Config{Raw: raw}
	if err := json.Unmarshal(raw, cfg); err != nil {
		return nil, explain(err)
	}
	missing, err := missingKeys(raw)
	if err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	return cfg, cfg.Validate()
}

// explain names the key of a value of the wrong type.
func explain(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		key := strings.ReplaceAll(wrong.Field, "Stack.", "") // embedded: no key of the file
		return fmt.Errorf("key %q: value %s, want %s", key, wrong.Value, wrong.Type)
	}
	return err
}

// Adapter tells whether the code predictor's inputs pass through small_to_mtp_projection: whether the widths differ.
func (c *Config) Adapter() bool { return c.Talker.Hidden != c.Talker.Predictor.Hidden }

// Codebook is the number of codes of one codebook, V.
func (c *Config) Codebook() int64 { return c.Talker.Predictor.Vocab }

// Groups is the number of codes of a frame, G.
func (c *Config) Groups() int { return c.Talker.Groups }
