package main

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/train"
)

// settings are everything that decides the outcome. The two halves of a codec learn one after the other.
type settings struct {
	Seed       int64        `toml:"seed"`       // of weights and data
	Threads    int          `toml:"threads"`    // of the tensor library; 0: one per core
	Utterances int          `toml:"utterances"` // of the language that are learned from
	Spectrum   float64      `toml:"spectrum"`   // weight of the spectra beside that of the samples, 1
	Codes      float64      `toml:"codes"`      // weight of codes 1 … 15 beside that of code 0, 1
	Decoder    train.Config `toml:"decoder"`
	Encoder    train.Config `toml:"encoder"`
}

// defaults made the built-in codec.
func defaults() settings {
	half := train.DefaultConfig()
	half.MicroBatch, half.TokensPerStep, half.EvalEvery, half.LogEvery = 4, 0, 0, 25
	half.Optim.Beta2, half.Optim.WarmupSteps, half.Optim.MinLRRatio = 0.99, 20, 0.02
	s := settings{Seed: 1, Utterances: 100_000, Spectrum: 0.2, Codes: 0.3, Decoder: half, Encoder: half}
	s.Decoder.Steps, s.Decoder.Optim.LR = 1800, 1e-3
	s.Encoder.Steps, s.Encoder.Optim.LR = 2000, 1.5e-3
	return s
}

// Validate reports all violations.
func (s settings) Validate() error {
	var errs []error
	want := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v, want %s", key, value, want))
		}
	}
	want(s.Threads >= 0, "threads", s.Threads, "0 (one per core) or more")
	want(s.Utterances >= 1, "utterances", s.Utterances, "at least 1")
	want(s.Spectrum >= 0, "spectrum", s.Spectrum, "0 or more")
	want(s.Codes >= 0, "codes", s.Codes, "0 or more")
	for name, half := range map[string]train.Config{"decoder": s.Decoder, "encoder": s.Encoder} {
		if err := half.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// codecConfig is a small codec of the published architecture: 24 kHz, 12.5 frames a second. The decoder does most of its
// upsampling in wide layers at low rates, which cost little.
func codecConfig() *codec.Config {
	return &codec.Config{
		ModelType: "qwen3_tts_tokenizer_12hz", Groups: demo.Groups, InputRate: demo.Rate, OutputRate: demo.Rate,
		UpsampleRate: demo.Hop, DownsampleRate: demo.Hop,
		Decoder: codec.DecoderConfig{
			Transformer: codec.Transformer{Hidden: 96, Intermediate: 256, Layers: 2, Heads: 4, KVHeads: 4, HeadDim: 16,
				Theta: 1e4, Act: "silu", LayerScale: 0.3},
			Quantizer: codec.Quantizer{Codebook: demo.Codebook, Width: 64, Quantizers: demo.Groups, Semantic: 1},
			Latent:    192, Channels: 48, Eps: 1e-5, Window: 8, Rates: []int64{10, 12}, LatentRates: []int64{2, 2, 4},
		},
		Encoder: codec.EncoderConfig{
			Transformer: codec.Transformer{Hidden: 64, Intermediate: 128, Layers: 1, Heads: 4, KVHeads: 4, HeadDim: 16,
				Theta: 1e4, Act: "gelu", LayerScale: 0.3},
			Quantizer:     codec.Quantizer{Codebook: demo.Codebook, Width: 32, Quantizers: demo.Groups, Semantic: 1},
			AudioChannels: 1, Filters: 8, Kernel: 7, LastKernel: 3, ResidualKernel: 3, ResidualLayers: 1, DilationGrowth: 2, Compress: 2,
			Rates: []int64{8, 6, 5, 4}, Eps: 1e-5, VectorDim: 32, Causal: true, PadMode: "constant",
			SampleRate: demo.Rate, FrameRate: float64(demo.Rate) / demo.Hop,
		},
	}
}
