package distill

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/talker"
)

// Request is the prompt of an utterance as it stands, with everything that a checkpoint of cfg's kind has a place for: the
// speaker vector and the reference (base), the preset speaker and the instruction (custom voice), the instruction (voice
// design); language and streaming as they are.
func Request(cfg *talker.Config, u data.Utterance) (talker.Request, error) {
	r, err := request(cfg, u)
	if err != nil {
		return talker.Request{}, fmt.Errorf("distill: utterance %q: %w", u.ID, err)
	}
	return r, nil
}

func request(cfg *talker.Config, u data.Utterance) (talker.Request, error) {
	r := talker.Request{ID: u.ID, Text: u.Text, Language: u.Language, Streaming: u.Streaming}
	switch cfg.Type {
	case talker.Base:
		if len(u.Vector) == 0 {
			return r, errNoVector
		}
		r.Voice = &talker.Voice{Vector: u.Vector}
		if hasReference(u) {
			r.Reference = &talker.Reference{Text: u.RefText, Codes: u.RefCodes}
		}
	case talker.CustomVoice:
		voice, err := cfg.PresetVoice(u.Speaker)
		if err != nil {
			return r, err
		}
		r.Voice, r.Instruct = &voice, u.Instruct
	case talker.VoiceDesign:
		r.Instruct = u.Instruct
	}
	return r, nil
}

// hasReference tells whether u has speech to go on from, and what it says.
func hasReference(u data.Utterance) bool { return len(u.RefText) > 0 && len(u.RefCodes) > 0 }

// What a layout misses in an utterance.
var (
	errNoVector    = errors.New("no speaker_vector, want the voice to clone (examples/prepare makes it from ref_audio)")
	errNoReference = errors.New("no ref_audio_codes or no ref_text_ids, want both (examples/prepare makes them from ref_audio and ref_text)")
	errNoOther     = errors.New("no other utterance of its speaker, and no ref_audio_codes and ref_text_ids of its own")
	errNoInstruct  = errors.New("no instruct_ids, want an instruction that describes the voice")
	errNoLanguage  = errors.New("its language is auto, want one to name")
)

// Rows are the teacher-forced rows of an utterance as it stands: the rows that decoding its Request feeds if it draws the
// utterance's codes and then the end.
func Rows(cfg *talker.Config, u data.Utterance) (talker.Sequence, error) {
	limits := data.Limits{
		TextVocab: int(cfg.Talker.TextVocab), Groups: cfg.Groups(), Codebook: int(cfg.Codebook()), Voice: int(cfg.Talker.Hidden),
	}
	if err := u.Check(limits); err != nil {
		return talker.Sequence{}, err
	}
	r, err := Request(cfg, u)
	if err != nil {
		return talker.Sequence{}, err
	}
	p, err := talker.DecodingRows(cfg, r)
	if err != nil {
		return talker.Sequence{}, err
	}
	return p.Complete(cfg, u.Codes)
}

// Collate makes one batch of the rows of us, padded on the right.
func Collate(cfg *talker.Config, us []data.Utterance) (*talker.Batch, error) {
	seqs := make([]talker.Sequence, len(us))
	for i, u := range us {
		var err error
		if seqs[i], err = Rows(cfg, u); err != nil {
			return nil, err
		}
	}
	return talker.Collate(seqs, talker.PadRight)
}
