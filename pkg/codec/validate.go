package codec

import (
	"math"

	"github.com/qakd/qakd/pkg/ckpt"
)

// Far above any published model (1536 channels, 8 layers, 32 quantizers, 4 rates of at most 8): a corrupt number must
// not declare modules until the memory is full, or overflow a product.
const (
	mostWidth  = 1 << 16
	mostLayers = 1024
	mostGroups = 256
	mostRates  = 8
	mostHop    = 1 << 20 // samples per frame
)

// Validate reports every value that this package cannot serve.
func (c *Config) Validate() error {
	var p ckpt.Violations
	d, e := &c.Decoder, &c.Encoder
	p.Want(c.ModelType == "qwen3_tts_tokenizer_12hz", "model_type", c.ModelType, `"qwen3_tts_tokenizer_12hz"`)
	p.Want(c.InputRate > 0, "input_sample_rate", c.InputRate, "a positive number")
	p.Want(c.OutputRate > 0, "output_sample_rate", c.OutputRate, "a positive number")
	d.validate(&p, "decoder_config.")
	e.validate(&p, "encoder_config.")
	p.Want(c.Groups == d.Quantizers, "encoder_valid_num_quantizers", c.Groups, "%d, as decoder_config.num_quantizers", d.Quantizers)
	p.Want(c.Groups <= e.Quantizers, "encoder_valid_num_quantizers", c.Groups, "at most %d, as encoder_config.num_quantizers", e.Quantizers)
	p.Want(d.Codebook == e.Codebook, "decoder_config.codebook_size", d.Codebook, "%d, as encoder_config has", e.Codebook)
	p.Want(d.Semantic == e.Semantic, "decoder_config.num_semantic_quantizers", d.Semantic, "%d, as encoder_config has", e.Semantic)
	p.Want(e.SampleRate == c.InputRate, "encoder_config.sampling_rate", e.SampleRate, "%d, as input_sample_rate", c.InputRate)
	if up, ok := product(append(d.Rates[:len(d.Rates):len(d.Rates)], d.LatentRates...)); ok {
		p.Want(c.UpsampleRate == up, "decode_upsample_rate", c.UpsampleRate, "%d, the product of upsample_rates and upsampling_ratios", up)
	}
	if down, ok := product(e.Rates); ok {
		p.Want(c.DownsampleRate == down || c.DownsampleRate == 2*down, "encode_downsample_rate", c.DownsampleRate,
			"%d or %d: the product of upsampling_ratios, once or twice", down, 2*down)
	}
	if e.FrameRate != 0 && c.DownsampleRate > 0 {
		rate := float64(c.InputRate) / float64(c.DownsampleRate)
		p.Want(math.Abs(e.FrameRate-rate) <= 1e-3*rate, "encoder_config._frame_rate", e.FrameRate, "%g, input_sample_rate / encode_downsample_rate", rate)
	}
	return p.Err()
}

func (d *DecoderConfig) validate(p *ckpt.Violations, at string) {
	d.Transformer.validate(p, at)
	d.Quantizer.validate(p, at)
	p.Want(d.Act == "silu", at+"hidden_act", d.Act, `"silu"`)
	width(p, at+"latent_dim", d.Latent)
	width(p, at+"decoder_dim", d.Channels)
	p.Want(d.Width%2 == 0, at+"codebook_dim", d.Width, "an even number: code vectors have half of it")
	p.Want(d.Eps > 0, at+"rms_norm_eps", d.Eps, "a positive number")
	p.Want(d.Window > 0 && d.Window <= mostWidth, at+"sliding_window", d.Window, "1 to %d", mostWidth)
	rates(p, at+"upsample_rates", d.Rates)
	rates(p, at+"upsampling_ratios", d.LatentRates)
	last := d.Channels >> min(len(d.Rates), mostRates)
	p.Want(last > 0, at+"decoder_dim", d.Channels, "at least %d: each of %d blocks halves it", int64(1)<<min(len(d.Rates), mostRates), len(d.Rates))
}

func (e *EncoderConfig) validate(p *ckpt.Violations, at string) {
	e.Transformer.validate(p, at)
	e.Quantizer.validate(p, at)
	p.Want(e.Act == "gelu", at+"hidden_act", e.Act, `"gelu"`)
	p.Want(e.AudioChannels == 1, at+"audio_channels", e.AudioChannels, "1")
	p.Want(e.VectorDim == e.Width, at+"vector_quantization_hidden_dimension", e.VectorDim, "%d, as codebook_dim", e.Width)
	width(p, at+"num_filters", e.Filters)
	for key, v := range map[string]int64{"kernel_size": e.Kernel, "last_kernel_size": e.LastKernel,
		"residual_kernel_size": e.ResidualKernel, "dilation_growth_rate": e.DilationGrowth, "num_residual_layers": int64(e.ResidualLayers)} {
		p.Want(v > 0 && v <= mostGroups, at+key, v, "1 to %d", mostGroups)
	}
	reach := e.DilationGrowth // of the last residual layer
	for range min(e.ResidualLayers, mostGroups) - 1 {
		reach = min(reach*max(e.DilationGrowth, 1), mostHop+1)
	}
	p.Want(reach <= mostHop, at+"dilation_growth_rate", e.DilationGrowth, "dilations up to %d in %d layers", mostHop, e.ResidualLayers)
	p.Want(e.Compress > 0 && e.Compress <= max(e.Filters, 1), at+"compress", e.Compress, "1 to num_filters %d", e.Filters)
	p.Want(e.Eps > 0, at+"norm_eps", e.Eps, "a positive number")
	p.Want(e.Causal, at+"use_causal_conv", e.Causal, "true")
	p.Want(e.PadMode == "constant", at+"pad_mode", e.PadMode, `"constant"`)
	rates(p, at+"upsampling_ratios", e.Rates)
}

func (t *Transformer) validate(p *ckpt.Violations, at string) {
	for _, f := range []struct {
		key string
		v   int64
	}{{"hidden_size", t.Hidden}, {"intermediate_size", t.Intermediate}, {"num_attention_heads", t.Heads},
		{"num_key_value_heads", t.KVHeads}, {"head_dim", t.HeadDim}} {
		width(p, at+f.key, f.v)
	}
	p.Want(t.Layers > 0 && t.Layers <= mostLayers, at+"num_hidden_layers", t.Layers, "1 to %d", mostLayers)
	p.Want(t.KVHeads <= 0 || t.Heads%t.KVHeads == 0, at+"num_key_value_heads", t.KVHeads, "a divisor of num_attention_heads %d", t.Heads)
	p.Want(t.HeadDim%2 == 0, at+"head_dim", t.HeadDim, "an even number")
	p.Want(t.Theta > 0, at+"rope_theta", t.Theta, "a positive number")
}

func (q *Quantizer) validate(p *ckpt.Violations, at string) {
	width(p, at+"codebook_dim", q.Width)
	p.Want(q.Codebook > 0 && q.Codebook <= 1<<24, at+"codebook_size", q.Codebook, "1 to %d", 1<<24)
	p.Want(q.Quantizers > 1 && q.Quantizers <= mostGroups, at+"num_quantizers", q.Quantizers, "2 to %d", mostGroups)
	p.Want(q.Semantic > 0 && q.Semantic < q.Quantizers, at+"num_semantic_quantizers", q.Semantic, "1 to num_quantizers %d - 1", q.Quantizers)
}

func width(p *ckpt.Violations, key string, v int64) {
	p.Want(v > 0 && v <= mostWidth, key, v, "1 to %d", mostWidth)
}

func rates(p *ckpt.Violations, key string, v []int64) {
	_, ok := product(v)
	p.Want(ok && len(v) <= mostRates, key, v, "at most %d positive numbers with a product of at most %d", mostRates, mostHop)
}

// product of rates; ok is false where it is out of bounds.
func product(rates []int64) (n int64, ok bool) {
	n = 1
	for _, r := range rates {
		if r <= 0 || r > mostHop || n*r > mostHop {
			return 0, false
		}
		n *= r
	}
	return n, true
}
