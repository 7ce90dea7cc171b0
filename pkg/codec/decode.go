package codec

import (
	"errors"
	"fmt"
)

// The reference decodes chunks of ChunkFrames frames, each after up to ContextFrames frames of context whose samples are
// dropped.
const (
	ChunkFrames   = 300
	ContextFrames = 25
)

// Decode gives the samples of codes [frames][groups] at Config.OutputRate: frames·hop numbers in [-1, 1], decoded in
// chunks as the reference does. Up to 300 frames (24 s) that is DecodeWhole.
func (m *Codec) Decode(codes [][]int32) ([]float32, error) {
	return m.DecodeChunked(codes, ChunkFrames, ContextFrames)
}

// DecodeChunked decodes size frames at a time, each chunk as a signal of its own that starts with up to context frames
// from before, whose samples are dropped.
func (m *Codec) DecodeChunked(codes [][]int32, size, context int) ([]float32, error) {
	if size < 1 || context < 0 {
		return nil, fmt.Errorf("codec: decode: chunks of %d frames with %d frames of context, want at least 1 and 0", size, context)
	}
	if err := m.checkCodes(codes); err != nil {
		return nil, err
	}
	out := make([]float32, 0, len(codes)*int(m.Config.UpsampleRate))
	for start := 0; start < len(codes); start += size {
		before := start
		if start > context {
			before = context
		}
		wav, err := m.decode(codes[start-before : min(start+size, len(codes))])
		if err != nil {
			return nil, err
		}
		out = append(out, wav[before*int(m.Config.UpsampleRate):]...)
	}
	return out, nil
}

// DecodeWhole decodes codes as one signal. Only the memory of the result grows with their number.
func (m *Codec) DecodeWhole(codes [][]int32) ([]float32, error) {
	if err := m.checkCodes(codes); err != nil {
		return nil, err
	}
	return m.decode(codes)
}

// DecodeBatch decodes several clips. The reference pads them to one length on the right and cuts the results; the decoder
// being causal, that is to decode each alone.
func (m *Codec) DecodeBatch(clips [][][]int32) ([][]float32, error) {
	out := make([][]float32, len(clips))
	for i, codes := range clips {
		var err error
		if out[i], err = m.Decode(codes); err != nil {
			return nil, fmt.Errorf("codec: clip %d: %w", i, err)
		}
	}
	return out, nil
}

func (m *Codec) decode(codes [][]int32) ([]float32, error) {
	s, err := m.NewStream()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.push(codes)
}

func (m *Codec) checkCodes(codes [][]int32) error {
	if m.Decoder == nil {
		return errors.New("codec: decode: the decoder is not loaded (Parts is EncoderOnly)")
	}
	if len(codes) == 0 {
		return errors.New("codec: decode: no frames, want at least one")
	}
	G, V := m.Groups(), int32(m.Config.Decoder.Codebook)
	for i, frame := range codes {
		if len(frame) != G {
			return fmt.Errorf("codec: decode: frame %d has %d codes, want %d, one for each group", i, len(frame), G)
		}
		for g, code := range frame {
			if code < 0 || code >= V {
				return fmt.Errorf("codec: decode: frame %d: code %d of group %d, want 0 to %d", i, code, g, V-1)
			}
		}
	}
	return nil
}
