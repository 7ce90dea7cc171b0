package speaker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/pkg/ckpt"
)

// Config is speaker_encoder_config of a checkpoint's config.json. Channels, Kernels and Dilations have one entry for the
// first layer, one for each SE-Res2Net block, and one for the aggregation of the blocks.
type Config struct {
	Mels              int64   `json:"mel_dim"`
	Width             int64   `json:"enc_dim"` // of the result
	Channels          []int64 `json:"enc_channels"`
	Kernels           []int64 `json:"enc_kernel_sizes"`
	Dilations         []int64 `json:"enc_dilations"`
	AttentionChannels int64   `json:"enc_attention_channels"`
	Scale             int64   `json:"enc_res2net_scale"` // groups of channels in a block
	SEChannels        int64   `json:"enc_se_channels"`
	SampleRate        int64   `json:"sample_rate"`
}

// DefaultConfig has what the published files leave out.
func DefaultConfig() Config {
	return Config{
		Mels:              128,
		Width:             1024,
		Channels:          []int64{512, 512, 512, 512, 1536},
		Kernels:           []int64{5, 3, 3, 3, 1},
		Dilations:         []int64{1, 2, 3, 4, 1},
		AttentionChannels: 128,
		Scale:             8,
		SEChannels:        128,
		SampleRate:        Rate,
	}
}

// ErrNone says that a checkpoint is of a kind that has no speaker encoder.
var ErrNone = errors.New("no speaker encoder here: base checkpoints have one")

// ReadConfig reads and validates the encoder's part of dir/config.json. A checkpoint that is not of type "base" is
// ErrNone, whatever it holds: fine-tuning keeps the configuration of an encoder that is no longer there.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("speaker: %w", err)
	}
	c, err := parseConfig(raw)
	if err != nil {
		return Config{}, fmt.Errorf("speaker: %s: %w", path, err)
	}
	return c, nil
}

func parseConfig(raw []byte) (Config, error) {
	c := DefaultConfig()
	file := struct {
		Type    *string `json:"tts_model_type"`
		Encoder *Config `json:"speaker_encoder_config"`
		Talker  struct {
			Hidden *int64 `json:"hidden_size"`
		} `json:"talker_config"`
	}{Encoder: &c}
	if err := json.Unmarshal(raw, &file); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return c, fmt.Errorf("key %q: value %s, want %s", wrong.Field, wrong.Value, wrong.Type)
		}
		return c, err
	}
	switch {
	case file.Type == nil:
		return c, errors.New(`key "tts_model_type" is missing, want "base"`)
	case *file.Type != "base":
		return c, fmt.Errorf("key \"tts_model_type\": value %q: %w", *file.Type, ErrNone)
	}
	err := c.Validate()
	if h := file.Talker.Hidden; h != nil && *h != c.Width {
		err = errors.Join(err, fmt.Errorf("key \"speaker_encoder_config.enc_dim\": value %d, want talker_config.hidden_size %d", c.Width, *h))
	}
	return c, err
}

// Far above any published encoder; a corrupt number must not fill the memory.
const mostBlocks, mostChannels, mostSpan, mostMels = 64, 1 << 16, 1 << 10, 1 << 12

// Validate reports every value that does not make an encoder, in the words of the file.
func (c *Config) Validate() error {
	var p ckpt.Violations
	want := func(ok bool, key string, value any, want string, args ...any) {
		p.Want(ok, "speaker_encoder_config."+key, value, want, args...)
	}
	within := func(key string, most int64, values ...int64) {
		for _, v := range values {
			want(v > 0 && v <= most, key, v, "1 to %d", most)
		}
	}
	within("mel_dim", mostMels, c.Mels)
	within("enc_dim", mostChannels, c.Width)
	within("enc_attention_channels", mostChannels, c.AttentionChannels)
	within("enc_se_channels", mostChannels, c.SEChannels)
	within("enc_res2net_scale", mostChannels, c.Scale)
	within("enc_channels", mostChannels, c.Channels...)
	within("enc_kernel_sizes", mostSpan, c.Kernels...)
	within("enc_dilations", mostSpan, c.Dilations...)
	want(c.SampleRate == Rate, "sample_rate", c.SampleRate, "%d, that of the mel spectrogram", Rate)
	n := len(c.Channels)
	want(n >= 3 && n <= mostBlocks+2, "enc_channels", c.Channels, "3 to %d numbers", mostBlocks+2)
	want(len(c.Kernels) == n, "enc_kernel_sizes", c.Kernels, "%d numbers, as enc_channels has", n)
	want(len(c.Dilations) == n, "enc_dilations", c.Dilations, "%d numbers, as enc_channels has", n)
	if n < 3 {
		return p.Err()
	}
	sum := int64(0)
	for _, v := range c.Channels[1 : n-1] {
		sum += v
		want(v == c.Channels[0], "enc_channels", v, "the %d of the first layer: blocks add their input to their output", c.Channels[0])
		want(c.Scale <= 0 || v%c.Scale == 0, "enc_channels", v, "a multiple of enc_res2net_scale %d", c.Scale)
	}
	want(c.Channels[n-1] == sum, "enc_channels", c.Channels[n-1], "%d in the end, the sum of the blocks' channels", sum)
	return p.Err()
}

// MinFrames is the fewest mel frames that every layer can mirror at their ends.
func (c *Config) MinFrames() int64 {
	most := int64(0)
	for i, k := range c.Kernels {
		most = max(most, (c.Dilations[i]*(k-1)+1)/2) // the right half, which is the larger one
	}
	return most + 1
}

// MinSamples is the length of the shortest clip that can be encoded, at Rate: 1280, or 53 ms, in published checkpoints.
func (c *Config) MinSamples() int64 { return max(margin+1, c.MinFrames()*hop) }
