package talker

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Kinds of checkpoints, values of tts_model_type.
const (
	Base        = "base"         // clones voices
	CustomVoice = "custom_voice" // has preset voices
	VoiceDesign = "voice_design" // makes up a voice from an instruction
)

// Serves reports everything in a request that a checkpoint of this kind was not trained for.
//
//	kind           voice     reference   instruction
//	base           a vector  may be      none
//	custom_voice   a preset  none        may be; none for size "0b6"
//	voice_design   none      none        may be
//
// The reference implementation refuses the same requests, but drops an instruction to a small custom-voice model without
// a word; here it is an error, since whoever gives one expects it to be followed.
func (c *Config) Serves(r Request) error {
	var bad []string
	refuse := func(is bool, what, want string) {
		if is {
			bad = append(bad, fmt.Sprintf("%s, but a %q checkpoint wants %s", what, c.Type, want))
		}
	}
	vector := r.Voice != nil && r.Voice.Vector != nil
	preset := r.Voice != nil && r.Voice.Vector == nil
	switch c.Type {
	case Base:
		refuse(r.Voice == nil, "no voice is given", "the vector of a voice to clone")
		refuse(preset, "a preset voice is given", "the vector of a voice to clone")
		refuse(len(r.Instruct) > 0, "an instruction is given", "none: it clones the voice as it is")
	case CustomVoice:
		refuse(r.Voice == nil, "no voice is given", "one of its speakers")
		refuse(vector, "a voice vector is given", "one of its speakers: cloning needs a base checkpoint")
		refuse(len(r.Instruct) > 0 && c.Size == "0b6", "an instruction is given", `none at size "0b6": only the large model follows instructions`)
	case VoiceDesign:
		refuse(r.Voice != nil, "a voice is given", "none: an instruction describes the voice")
	}
	refuse(r.Reference != nil && c.Type != Base, "reference speech is given", "none: in-context cloning needs a base checkpoint")
	if len(bad) == 0 {
		return nil
	}
	return errors.New(strings.Join(bad, "; "))
}

// checkContext reports the first value of voice, instruction or reference that the tables have no row for.
func (c *Config) checkContext(r Request) error {
	if v := r.Voice; v != nil && v.Vector != nil {
		if int64(len(v.Vector)) != c.Talker.Hidden {
			return fmt.Errorf("the voice vector has %d values, want hidden_size %d", len(v.Vector), c.Talker.Hidden)
		}
		for i, x := range v.Vector {
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("value %d of the voice vector is %v, want a finite number", i, x)
			}
		}
	} else if v != nil && (v.ID < 0 || int64(v.ID) >= c.Talker.Vocab) {
		return fmt.Errorf("the voice has id %d, want 0 … %d", v.ID, c.Talker.Vocab-1)
	}
	if len(r.Instruct) > 0 {
		if err := c.checkText("instruction", r.Instruct); err != nil {
			return err
		}
	}
	if r.Reference == nil {
		return nil
	}
	if err := c.checkText("transcript of the reference", r.Reference.Text); err != nil {
		return err
	}
	if len(r.Reference.Codes) == 0 {
		return errors.New("the reference has no frames, want at least one")
	}
	return c.checkCodes("reference frame", r.Reference.Codes)
}

func (c *Config) checkText(what string, ids []int32) error {
	if len(ids) == 0 {
		return fmt.Errorf("the %s is empty, want at least one token", what)
	}
	for i, id := range ids {
		if id < 0 || int64(id) >= c.Talker.TextVocab {
			return fmt.Errorf("id %d of the %s is %d, want 0 … %d", i, what, id, c.Talker.TextVocab-1)
		}
		if !c.keeps(id) {
			return fmt.Errorf("id %d of the %s is %d, which the pruned text vocabulary of %d tokens lacks", i, what, id, len(c.kept))
		}
	}
	return nil
}

func (c *Config) checkCodes(what string, codes [][]int32) error {
	for i, f := range codes {
		if len(f) != c.Groups() {
			return fmt.Errorf("%s %d has %d codes, want %d", what, i, len(f), c.Groups())
		}
		for g, code := range f {
			if code < 0 || int64(code) >= c.Codebook() {
				return fmt.Errorf("%s %d has code %d in group %d, want 0 … %d", what, i, code, g, c.Codebook()-1)
			}
		}
	}
	return nil
}

// fits reports a sequence that is longer than the positions of the model: rows that are there, and text that is still to
// come, a token a row.
func (c *Config) fits(rows, trailing int) error {
	most := c.Talker.MaxPositions
	if most == 0 || int64(rows)+int64(trailing) <= most {
		return nil
	}
	if trailing > 0 {
		return fmt.Errorf("%d rows and %d tokens of text to come are %d positions, want at most max_position_embeddings %d",
			rows, trailing, rows+trailing, most)
	}
	return fmt.Errorf("%d rows, want at most max_position_embeddings %d", rows, most)
}
