package codec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// published is the configuration of the published checkpoints.
func published() *Config {
	return &Config{
		ModelType: "qwen3_tts_tokenizer_12hz", Groups: 16, InputRate: 24000, OutputRate: 24000, UpsampleRate: 1920, DownsampleRate: 1920,
		Decoder: DecoderConfig{
			Transformer: Transformer{Hidden: 512, Intermediate: 1024, Layers: 8, Heads: 16, KVHeads: 16, HeadDim: 64, Theta: 1e4, Act: "silu", LayerScale: 0.01},
			Quantizer:   Quantizer{Codebook: 2048, Width: 512, Quantizers: 16, Semantic: 1},
			Latent:      1024, Channels: 1536, Eps: 1e-5, Window: 72, Rates: []int64{8, 5, 4, 3}, LatentRates: []int64{2, 2},
		},
		Encoder: EncoderConfig{
			Transformer:   Transformer{Hidden: 512, Intermediate: 2048, Layers: 8, Heads: 8, KVHeads: 8, HeadDim: 64, Theta: 1e4, Act: "gelu", LayerScale: 0.01},
			Quantizer:     Quantizer{Codebook: 2048, Width: 256, Quantizers: 32, Semantic: 1},
			AudioChannels: 1, Filters: 64, Kernel: 7, LastKernel: 3, ResidualKernel: 3, ResidualLayers: 1, DilationGrowth: 2, Compress: 2,
			Rates: []int64{8, 6, 5, 4}, Eps: 1e-5, VectorDim: 256, Causal: true, PadMode: "constant", SampleRate: 24000, FrameRate: 12.5,
		},
	}
}

// The published file has 225 tensors with 56 234 304 values in the encoder and 271 with 114 323 137 in the decoder.
func TestPublishedSizes(t *testing.T) {
	for parts, want := range map[Parts][2]int64{EncoderOnly: {225, 56_234_304}, DecoderOnly: {271, 114_323_137}} {
		m, err := New(published(), parts)
		if err != nil {
			t.Fatal(err)
		}
		var got [2]int64
		for _, p := range nn.Params(m) {
			got[0]++
			got[1] += p.NumElements()
		}
		if got != want {
			t.Errorf("%d tensors with %d values, want %d with %d", got[0], got[1], want[0], want[1])
		}
	}
}

// A small codec of another geometry can be made, trained and saved; what it computes survives.
func TestInitSave(t *testing.T) {
	cfg := published()
	cfg.Groups, cfg.UpsampleRate, cfg.DownsampleRate = 3, 42, 60
	d, e := &cfg.Decoder, &cfg.Encoder
	d.Transformer = Transformer{Hidden: 10, Intermediate: 14, Layers: 1, Heads: 4, KVHeads: 2, HeadDim: 6, Theta: 1e4, Act: "silu", AttentionBias: true, LayerScale: 0.5}
	d.Quantizer = Quantizer{Codebook: 9, Width: 8, Quantizers: 3, Semantic: 2}
	d.Latent, d.Channels, d.Window, d.Rates, d.LatentRates = 12, 9, 3, []int64{7, 3}, []int64{2, 1}
	e.Transformer = Transformer{Hidden: 8, Intermediate: 12, Layers: 1, Heads: 2, KVHeads: 1, HeadDim: 4, Theta: 1e4, Act: "gelu", LayerScale: 0.5}
	e.Quantizer = Quantizer{Codebook: 9, Width: 8, Quantizers: 5, Semantic: 2} // as wide as hidden: no projection
	e.VectorDim, e.Filters, e.ResidualLayers, e.Shortcut, e.Rates, e.FrameRate = 8, 5, 2, true, []int64{5, 6, 2}, 400
	m, err := New(cfg, Both)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := nn.Init(m, 3, 0.5); err != nil {
		t.Fatal(err)
	}
	wav, codes := tones(333), randomCodes(m, 7)
	samples, err := m.Decode(codes)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := m.Encode(wav)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) != 7*42 || len(ids) != 6 {
		t.Errorf("%d samples and %d frames, want %d and 6", len(samples), len(ids), 7*42)
	}
	s, err := m.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var streamed []float32
	for i := range codes {
		wav, err := s.Push(codes[i : i+1])
		if err != nil {
			t.Fatal(err)
		}
		streamed = append(streamed, wav...)
	}
	wantClose(t, "stream", streamed, samples, rounding)

	dir := filepath.Join(t.TempDir(), "speech_tokenizer")
	if err := m.Save(dir, ""); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	same, err := again.Decode(codes)
	if err != nil {
		t.Fatal(err)
	}
	wantClose(t, "saved and loaded", same, samples, 0)
	var input struct {
		SamplingRate int `json:"sampling_rate"`
	}
	raw, err := os.ReadFile(filepath.Join(dir, "preprocessor_config.json"))
	if err != nil || json.Unmarshal(raw, &input) != nil || input.SamplingRate != 24000 {
		t.Errorf("preprocessor_config.json: %s, %v", raw, err)
	}

	// A folder that was loaded keeps its configuration's text and every tensor.
	m = loaded(t, "tiny-sharded", Options{})
	if err := m.Save(dir, ""); err != nil {
		t.Fatal(err)
	}
	a, err := ckpt.HeaderOnly(fixture("tiny-sharded"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ckpt.HeaderOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.Infos, b.Infos) {
		t.Error("loading and saving changes the list of tensors")
	}
	raw, err = os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || string(raw) != string(m.Config.Raw) {
		t.Errorf("config.json is not what was read, error %v", err)
	}
}

// Every parameter that decoding needs gets the gradient of the samples.
func TestDecoderGradients(t *testing.T) {
	cfg := published()
	cfg.Groups, cfg.UpsampleRate, cfg.Encoder.Quantizers = 2, 4, 2
	d := &cfg.Decoder
	d.Transformer = Transformer{Hidden: 4, Intermediate: 4, Layers: 1, Heads: 2, KVHeads: 1, HeadDim: 2, Theta: 100, Act: "silu", LayerScale: 0.5}
	d.Quantizer = Quantizer{Codebook: 3, Width: 4, Quantizers: 2, Semantic: 1}
	d.Latent, d.Channels, d.Window, d.Rates, d.LatentRates = 4, 4, 2, []int64{2}, []int64{2}
	cfg.Encoder.Codebook = 3
	m, err := New(cfg, DecoderOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := nn.Init(m, 5, 0.5); err != nil {
		t.Fatal(err)
	}
	var leaves []testkit.Leaf
	for _, p := range nn.Params(m) {
		if !p.Frozen {
			leaves = append(leaves, testkit.Leaf{Name: p.Name, T: &p.T})
			continue
		}
		if !strings.HasSuffix(p.Name, "cluster_usage") && !isUnused(p.Name) {
			t.Errorf("%s is frozen", p.Name)
		}
	}
	if len(leaves) < 60 {
		t.Errorf("%d parameters are trained", len(leaves))
	}
	err = nn.Run(func(c *nn.Context) error {
		for _, p := range nn.Params(m) { // γ starts at 1e-6: too little to see
			if strings.HasSuffix(p.Name, "gamma") {
				p.Set(c.Release(c.Full(gotch.Float, 0.5, p.Shape...)))
			}
			if p.Frozen {
				p.Set(c.Release(c.To(p.T, gotch.Double)))
			}
		}
		codes, weights := c.FromInts([]int64{0, 2, 1, 1, 2, 0}, 1, 3, 2), c.To(c.Randn(1, 12), gotch.Double)
		testkit.Gradients(t, 1e-3, 4e-3, func(s *tensor.Scope) *ts.Tensor {
			in := &nn.Context{Scope: s}
			return s.Sum(s.Mul(m.Decoder.Forward(in, codes), weights))
		}, leaves...)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
