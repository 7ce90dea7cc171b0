package parity

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// withCodec runs f on the checkpoint's speech tokenizer, without recording. watch shows the outputs of its layers.
func (x *inputs) withCodec(parts codec.Parts, f func(c *nn.Context, m *codec.Codec) error) error {
	m, err := codec.Load(filepath.Join(x.f.checkpoint(), "speech_tokenizer"), codec.Options{Parts: parts})
	if err != nil {
		return err
	}
	defer m.Close()
	nn.NoGrad(func() { err = f(x.c, m) })
	return err
}

// layers puts outputs under the goldens' names; prefixes maps the beginnings of paths to those of names.
func (x *inputs) layers(prefixes map[string]string) *nn.Context {
	c := *x.c
	c.Output = func(path string, y *ts.Tensor) {
		for from, to := range prefixes {
			if rest, ok := strings.CutPrefix(path, from); ok {
				x.out.put(to+rest, y)
			}
		}
	}
	return &c
}

func encodeSection(_ *nn.Context, x *inputs) error {
	return x.withCodec(codec.EncoderOnly, func(c *nn.Context, m *codec.Codec) error {
		var wavs [][]float32
		for _, name := range []string{"wav0", "wav1"} {
			if !x.has(name) {
				return nil
			}
			wav, err := tensor.Floats(x.tensor(name))
			if err != nil {
				return err
			}
			wavs = append(wavs, wav)
		}
		watched := x.layers(map[string]string{"encoder.encoder.layers.": "seanet.",
			"encoder.encoder_transformer": "transformer", "encoder.downsample": "downsample"})
		latents := m.Encoder.Latents(watched, c.Reshape(x.tensor("wav0"), 1, 1, -1))
		x.out.put("codes_all", c.Transpose(m.Encoder.Quantize(c, latents, m.Config.Encoder.Quantizers), 1, 2))
		for i, name := range []string{"codes0", "codes1"} {
			codes, err := m.Encode(wavs[i])
			x.putCodes(name, codes, err)
		}
		batch, err := m.EncodeBatch(wavs)
		for i, name := range []string{"codes_batch0", "codes_batch1"} {
			if err != nil {
				x.putCodes(name, nil, err)
				continue
			}
			x.putCodes(name, batch[i], nil)
		}
		return nil
	})
}

func (x *inputs) putCodes(name string, codes [][]int32, err error) {
	if err != nil {
		x.fail(name, "%w", err)
		return
	}
	var flat []int64
	for _, frame := range codes {
		for _, code := range frame {
			flat = append(flat, int64(code))
		}
	}
	x.out.putInts(name, flat, int64(len(codes)), int64(len(codes[0])))
}

func decodeSection(_ *nn.Context, x *inputs) error {
	return x.withCodec(codec.DecoderOnly, func(c *nn.Context, m *codec.Codec) error {
		if x.has("snake.in") {
			params := make(map[string]*ts.Tensor)
			for _, p := range nn.Params(m) {
				params[p.Name] = p.T
			}
			const at = "decoder.decoder.1.block.0."
			x.out.put("snake.out", codec.SnakeBeta(c, x.tensor("snake.in"), params[at+"alpha"], params[at+"beta"]))
		}
		if !x.has("codes") {
			return nil
		}
		codes := slices.Collect(slices.Chunk(narrow(x.ints("codes")), m.Groups()))
		watched := x.layers(map[string]string{"decoder.quantizer": "quantized", "decoder.pre_": "pre_",
			"decoder.upsample.": "upsample.", "decoder.decoder.": "decoder."})
		m.Decoder.Forward(watched, c.Unsqueeze(x.tensor("codes"), 0))
		wav, err := m.DecodeWhole(codes)
		x.putWave("wav", wav, err)
		wav, err = m.DecodeChunked(codes[:min(len(codes), 24)], 7, 3)
		x.putWave("chunked_7_3", wav, err)
		wav, err = m.Decode(codes)
		x.putWave("chunked_300_25", wav, err)
		pair := [][][]int32{codes[:min(len(codes), 9)], codes[:min(len(codes), 4)]}
		wavs, err := m.DecodeBatch(pair)
		for i, name := range []string{"pair0", "pair1"} {
			if err != nil {
				x.putWave(name, nil, err)
				continue
			}
			x.putWave(name, wavs[i], nil)
		}
		return nil
	})
}

func (x *inputs) putWave(name string, wav []float32, err error) {
	x.out[name] = computed{shape: []int64{int64(len(wav))}, values: widen(wav), err: err}
}
