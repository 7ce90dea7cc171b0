package codec

import (
	"fmt"
	"sync"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// Parts of a codec.
type Parts int

const (
	Both Parts = iota
	EncoderOnly
	DecoderOnly
)

// Codec is a speech tokenizer. Its methods may be called from several goroutines; a Stream belongs to one at a time.
type Codec struct {
	Config  *Config
	DType   gotch.DType  // of the parameters and activations
	Device  gotch.Device // of the parameters
	Encoder *Encoder     // nil with DecoderOnly
	Decoder *Decoder     // nil with EncoderOnly

	mu   sync.Mutex
	fast *vocoder // once something was decoded
}

// New declares the parts of a valid configuration; no parameter has storage yet (see Load and nn.Init).
func New(cfg *Config, parts Parts) (*Codec, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Codec{Config: cfg, DType: gotch.Float, Device: gotch.CPU}
	switch parts {
	case Both:
		m.Encoder, m.Decoder = newEncoder(cfg), newDecoder(cfg)
	case EncoderOnly:
		m.Encoder = newEncoder(cfg)
	case DecoderOnly:
		m.Decoder = newDecoder(cfg)
	default:
		return nil, fmt.Errorf("codec: parts %d, want Both, EncoderOnly or DecoderOnly", parts)
	}
	return m, nil
}

// Visit shows the encoder, then the decoder, as far as they are there.
func (m *Codec) Visit(v nn.Visitor) {
	if m.Encoder != nil {
		m.Encoder.Visit(v)
	}
	if m.Decoder != nil {
		m.Decoder.Visit(v)
	}
}

// Close frees the parameters.
func (m *Codec) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fast != nil {
		m.fast.wave.Close()
		m.fast = nil
	}
	nn.Close(m)
}

// Groups is the number of codes of a frame.
func (m *Codec) Groups() int { return m.Config.Groups }

// run computes without recording.
func (m *Codec) run(f func(c *nn.Context) error) error {
	return nn.Run(func(c *nn.Context) (err error) {
		tensor.NoGrad(func() { err = f(c) })
		return err
	})
}
