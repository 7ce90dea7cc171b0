package codec

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
)

// Stream decodes a signal that comes in pieces. Whatever the pieces, its samples are those of DecodeWhole up to rounding,
// and its memory is that of one piece of 25 frames and of the layers' last inputs.
type Stream struct {
	m       *Codec
	h       *history
	fast    *vocoder // of the blocks; nil: libtorch
	state   []byte   // its history
	failure error    // of an earlier push, which left the layers at different moments
}

// NewStream starts a signal. The caller closes it.
func (m *Codec) NewStream() (*Stream, error) {
	if m.Decoder == nil {
		return nil, errors.New("codec: stream: the decoder is not loaded (Parts is EncoderOnly)")
	}
	fast, err := m.vocoder()
	if err != nil {
		return nil, err
	}
	s := &Stream{m: m, h: newHistory(), fast: fast}
	if fast != nil {
		s.state = fast.wave.NewState()
	}
	return s, nil
}

// Push decodes the next frames, codes [frames][groups], into frames·hop samples in [-1, 1]. Codes that are refused
// leave the stream where it was; after a failed computation it is of no use.
func (s *Stream) Push(codes [][]int32) ([]float32, error) {
	if s.failure != nil {
		return nil, s.failure
	}
	if err := s.m.checkCodes(codes); err != nil {
		return nil, err
	}
	return s.push(codes)
}

func (s *Stream) push(codes [][]int32) ([]float32, error) {
	out := make([]float32, 0, len(codes)*int(s.m.Config.UpsampleRate))
	for ; len(codes) > 0; codes = codes[min(framesAtOnce, len(codes)):] {
		wav, err := s.piece(codes[:min(framesAtOnce, len(codes))])
		if err != nil {
			s.Close()
			s.failure = fmt.Errorf("codec: stream: an earlier push failed: %w", err)
			return nil, fmt.Errorf("codec: decode: %w", err)
		}
		out = append(out, wav...)
	}
	return out, nil
}

func (s *Stream) piece(codes [][]int32) (wav []float32, err error) {
	T, G := len(codes), s.m.Groups()
	flat := make([]int64, 0, T*G)
	for _, frame := range codes {
		for _, code := range frame {
			flat = append(flat, int64(code))
		}
	}
	err = s.m.run(func(c *nn.Context) error {
		ids := c.ToDevice(c.FromInts(flat, 1, int64(T), int64(G)), s.m.Device)
		x := s.m.Decoder.rows(c, ids, s.h)
		if s.fast != nil {
			wav, err = s.fast.run(c, s.state, x)
		} else {
			wav, err = tensor.Floats(s.m.Decoder.samples(c, x, s.h))
		}
		return err
	})
	s.h.position += int64(T)
	for i, v := range wav {
		if v != v {
			return nil, fmt.Errorf("sample %d is not a number: the decoder's weights or dtype let a sum overflow", i)
		}
	}
	return wav, err
}

// Close frees the layers' last inputs. A closed stream refuses codes.
func (s *Stream) Close() {
	s.h.close()
	if s.failure == nil {
		s.failure = errors.New("codec: stream: closed")
	}
}
