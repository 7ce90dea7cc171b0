package speaker

import (
	"fmt"
	"math"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Encoder maps the mel spectrogram of a clip to a vector. Its parameters are named by the checkpoint's keys.
type Encoder struct {
	Config Config
	Device gotch.Device // of the parameters
	DType  gotch.DType  // of the parameters and activations

	Mel    *Mel
	First  *TDNN
	Blocks []*Block
	Merge  *TDNN // of all blocks' outputs
	Pool   *Pooling
	Final  *nn.Conv1d
}

// prefix of the checkpoint's keys.
const prefix = "speaker_encoder."

// New declares the encoder of a configuration; no parameter has storage yet (see Load and nn.Init).
func New(cfg Config) (*Encoder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("speaker: %w", err)
	}
	last := len(cfg.Channels) - 1
	all := cfg.Channels[last]
	e := &Encoder{
		Config: cfg,
		Device: gotch.CPU,
		DType:  gotch.Float,
		Mel:    NewMel(cfg.Mels),
		First:  NewTDNN(prefix+"blocks.0", cfg.Mels, cfg.Channels[0], cfg.Kernels[0], cfg.Dilations[0]),
		Merge:  NewTDNN(prefix+"mfa", all, all, cfg.Kernels[last], cfg.Dilations[last]),
		Pool:   newPooling(prefix+"asp", all, cfg.AttentionChannels),
		Final:  pointwise(prefix+"fc", 2*all, cfg.Width),
	}
	for i := 1; i < last; i++ {
		path := fmt.Sprintf("%sblocks.%d", prefix, i)
		e.Blocks = append(e.Blocks, newBlock(path, cfg.Channels[i], cfg.Kernels[i], cfg.Dilations[i], &cfg))
	}
	return e, nil
}

// Visit shows the parts in the order of computation.
func (e *Encoder) Visit(v nn.Visitor) {
	e.First.Visit(v)
	for _, b := range e.Blocks {
		b.Visit(v)
	}
	e.Merge.Visit(v)
	e.Pool.Visit(v)
	e.Final.Visit(v)
}

// Close frees the parameters.
func (e *Encoder) Close() { nn.Close(e) }

// Forward maps mel spectrograms [B,T,M], which it converts to the encoder's dtype, to vectors [B,enc_dim]. T is at least
// Config.MinFrames.
func (e *Encoder) Forward(c *nn.Context, mel *ts.Tensor) *ts.Tensor {
	h := e.First.Forward(c, c.Transpose(c.To(mel, e.DType), 1, 2)) // [B,C,T]
	outs := make([]*ts.Tensor, len(e.Blocks))
	for i, b := range e.Blocks {
		h = b.Forward(c, h)
		outs[i] = h
	}
	m := e.Merge.Forward(c, c.Cat(1, outs...)) // the first layer's output only goes through the blocks
	return c.Squeeze(e.Final.Forward(c, e.Pool.Forward(c, m)), 2)
}

// Embed is the vector [enc_dim] of one clip: mono samples at Rate, full scale ±1. The vector is not normalized. A clip
// shorter than Config.MinSamples is an error, as is a sample that is not finite.
func (e *Encoder) Embed(samples []float32) (out []float32, err error) {
	if n, least := int64(len(samples)), e.Config.MinSamples(); n < least {
		return nil, fmt.Errorf("speaker: clip of %d samples, want at least %d (%d ms at %d Hz)", n, least, (1000*least+Rate-1)/Rate, Rate)
	}
	if i := slices.IndexFunc(samples, infinite); i >= 0 {
		return nil, fmt.Errorf("speaker: sample %d is %v, want a finite number", i, samples[i])
	}
	nn.NoGrad(func() {
		err = nn.Run(func(c *nn.Context) error {
			x := c.ToDevice(c.FromFloats(samples, 1, int64(len(samples))), e.Device)
			out, err = tensor.Floats(e.Forward(c, e.Mel.Forward(c, x)))
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("speaker: %w", err)
	}
	if i := slices.IndexFunc(out, infinite); i >= 0 {
		return nil, fmt.Errorf("speaker: the vector has %v at [%d]: are the samples within ±1?", out[i], i)
	}
	return out, nil
}

func infinite(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) }
