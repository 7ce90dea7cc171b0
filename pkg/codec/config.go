package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// Config is the config.json of a speech_tokenizer folder. Raw has the file as it is, with the keys that nothing reads.
// Fields whose key may be omitted are optional; all others are required.
type Config struct {
	ModelType      string        `json:"model_type"`                   // "qwen3_tts_tokenizer_12hz"
	Groups         int           `json:"encoder_valid_num_quantizers"` // G: codes of a frame that are kept
	InputRate      int           `json:"input_sample_rate"`            // Hz
	OutputRate     int           `json:"output_sample_rate"`           // Hz
	UpsampleRate   int64         `json:"decode_upsample_rate"`         // samples that a frame is decoded to
	DownsampleRate int64         `json:"encode_downsample_rate"`       // samples that a frame is encoded from
	Decoder        DecoderConfig `json:"decoder_config"`
	Encoder        EncoderConfig `json:"encoder_config"`

	Path string `json:"-"` // the file
	Raw  []byte `json:"-"` // its bytes
}

// Transformer is what the transformers of both halves have in common.
type Transformer struct {
	Hidden        int64   `json:"hidden_size"`
	Intermediate  int64   `json:"intermediate_size"`
	Layers        int     `json:"num_hidden_layers"`
	Heads         int64   `json:"num_attention_heads"`
	KVHeads       int64   `json:"num_key_value_heads"`
	HeadDim       int64   `json:"head_dim"`
	Theta         float64 `json:"rope_theta"`
	Act           string  `json:"hidden_act"`
	AttentionBias bool    `json:"attention_bias,omitempty"`
	LayerScale    float64 `json:"layer_scale_initial_scale,omitempty"` // of fresh weights
}

// Quantizer is the shape of a residual quantizer.
type Quantizer struct {
	Codebook   int64 `json:"codebook_size"` // V
	Width      int64 `json:"codebook_dim"`
	Quantizers int   `json:"num_quantizers"`
	Semantic   int   `json:"num_semantic_quantizers"` // the first ones, which have a projection of their own
}

// DecoderConfig is decoder_config.
type DecoderConfig struct {
	Transformer
	Quantizer
	Latent      int64   `json:"latent_dim"`  // channels of the upsampling
	Channels    int64   `json:"decoder_dim"` // of the first block; halved by each one
	Eps         float64 `json:"rms_norm_eps"`
	Window      int64   `json:"sliding_window"`    // rows that a row attends to, itself included
	Rates       []int64 `json:"upsample_rates"`    // of the blocks
	LatentRates []int64 `json:"upsampling_ratios"` // of the upsampling before them
}

// EncoderConfig is encoder_config, a Mimi configuration. Its sliding_window is not applied, as in the reference.
type EncoderConfig struct {
	Transformer
	Quantizer
	AudioChannels  int64   `json:"audio_channels"`
	Filters        int64   `json:"num_filters"` // of the first convolution; doubled by each downsampling
	Kernel         int64   `json:"kernel_size"`
	LastKernel     int64   `json:"last_kernel_size"`
	ResidualKernel int64   `json:"residual_kernel_size"`
	ResidualLayers int     `json:"num_residual_layers"`
	DilationGrowth int64   `json:"dilation_growth_rate"`
	Compress       int64   `json:"compress"`          // a residual unit narrows to 1/Compress of its channels
	Rates          []int64 `json:"upsampling_ratios"` // downsampling goes through them in reverse
	Eps            float64 `json:"norm_eps"`
	VectorDim      int64   `json:"vector_quantization_hidden_dimension"` // the codebook_dim again
	Causal         bool    `json:"use_causal_conv"`
	Shortcut       bool    `json:"use_conv_shortcut,omitempty"`
	PadMode        string  `json:"pad_mode"`
	SampleRate     int     `json:"sampling_rate"`
	FrameRate      float64 `json:"_frame_rate,omitempty"` // Hz
}

// ReadConfig reads and validates dir/config.json.
func ReadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	cfg, err := ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("codec: %s: %w", path, err)
	}
	cfg.Path = path
	return cfg, nil
}

// ParseConfig reads the text of a config.json. The error lists every missing key, or else every bad value.
func ParseConfig(raw []byte) (*Config, error) {
	cfg := &Config{Raw: raw}
	if err := json.Unmarshal(raw, cfg); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			key := strings.NewReplacer("Transformer.", "", "Quantizer.", "").Replace(wrong.Field) // embedded: no key of the file
			return nil, fmt.Errorf("key %q: value %s, want %s", key, wrong.Value, wrong.Type)
		}
		return nil, err
	}
	if err := errors.Join(missing("", reflect.TypeOf(*cfg), raw)...); err != nil {
		return nil, err
	}
	return cfg, cfg.Validate()
}

// missing names the keys of t's required fields that the object raw lacks, or has as null.
func missing(at string, t reflect.Type, raw json.RawMessage) (list []error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return []error{fmt.Errorf("key %q: want an object: %w", at, err)}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		value, ok := object[key]
		switch {
		case f.Anonymous:
			list = append(list, missing(at, f.Type, raw)...)
		case key == "-" || options == "omitempty":
		case !ok || string(value) == "null":
			list = append(list, fmt.Errorf("key %q is missing, want a value", at+key))
		case f.Type.Kind() == reflect.Struct:
			list = append(list, missing(at+key+".", f.Type, value)...)
		}
	}
	return list
}
