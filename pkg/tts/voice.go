package tts

import (
	"fmt"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/speaker"
	"github.com/qakd/qakd/pkg/talker"
)

// Voice is a voice to be cloned, as a base checkpoint hears it.
type Voice struct {
	Vector    []float32         // [H] of the speaker encoder
	Reference *talker.Reference // the recording itself and its transcript; nil to clone by the vector alone
}

// InputRate is the sample rate of recordings, in Hz.
const InputRate = speaker.Rate

// Clone hears a recording, mono samples at InputRate. With a transcript the talker goes on from the recording
// (in-context cloning), which keeps more of the voice than its vector does; without one, "", it has the vector.
func (s *Synthesizer) Clone(samples []float32, transcript string) (*Voice, error) {
	return s.CloneFrom(samples, nil, transcript)
}

// CloneFrom is Clone for a recording whose codes [frames][G] are known; nil codes are computed.
func (s *Synthesizer) CloneFrom(samples []float32, codes [][]int32, transcript string) (*Voice, error) {
	if kind := s.Model.Config.Type; kind != talker.Base {
		return nil, fmt.Errorf("tts: %s: a %q checkpoint clones no voices, want a %q one", s.dir, kind, talker.Base)
	}
	v := &Voice{}
	if transcript != "" {
		ids, err := s.Text.Reference(transcript)
		if err != nil {
			return nil, err
		}
		v.Reference = &talker.Reference{Text: ids, Codes: codes}
	}
	if err := s.hear(); err != nil {
		return nil, err
	}
	var err error
	if v.Vector, err = s.speaker.Embed(samples); err != nil {
		return nil, err
	}
	if v.Reference != nil && codes == nil {
		heard, err := s.Encode([][]float32{samples})
		if err != nil {
			return nil, err
		}
		v.Reference.Codes = heard[0]
	}
	return v, nil
}

// Encode is the codes [frames][G] of recordings, mono samples at InputRate, as the reference encodes a batch (see
// codec.EncodeBatch).
func (s *Synthesizer) Encode(recordings [][]float32) ([][][]int32, error) {
	if s.encoder == nil {
		var err error
		if s.encoder, err = s.openCodec(codec.EncoderOnly); err != nil {
			return nil, err
		}
	}
	return s.encoder.EncodeBatch(recordings)
}
