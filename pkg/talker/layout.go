package talker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/data"
)

// newline is the token of "\n". A Qwen2 vocabulary numbers the 256 bytes first, in GPT-2's order, where it is always
// this one.
const newline = 198

// Role is the tokens of "<|im_start|>assistant\n", which open every prompt.
func (c *Config) Role() []int32 { return []int32{c.ImStart, c.Assistant, newline} }

// Voice is what stands in the speaker row: a vector (cloned voices), or a row of the codec table (preset voices).
type Voice struct {
	Vector  []float32 // [H]; nil for a preset voice
	ID      int32     // spk_id of a preset voice
	Dialect Dialect   // that the preset voice speaks instead of Chinese; "" for none
}

// PresetVoice finds a speaker of a custom-voice checkpoint by name, in any case.
func (c *Config) PresetVoice(name string) (Voice, error) {
	key := strings.ToLower(name)
	id, ok := c.Talker.SpeakerIDs[key]
	if !ok {
		known := slices.Sorted(maps.Keys(c.Talker.SpeakerIDs))
		return Voice{}, fmt.Errorf("speaker %q is not in spk_id, want one of %q", name, known)
	}
	return Voice{ID: id, Dialect: c.Talker.SpeakerTongue[key]}, nil
}

// TrainingRows lays out an utterance of a preset speaker for fine-tuning and distillation; see FineTuningRows.
func TrainingRows(cfg *Config, u data.Utterance) (Sequence, error) {
	limits := data.Limits{TextVocab: int(cfg.Talker.TextVocab), Groups: cfg.Groups(), Codebook: int(cfg.Codebook())}
	if err := u.Check(limits); err != nil {
		return Sequence{}, err
	}
	voice, err := cfg.PresetVoice(u.Speaker)
	if err != nil {
		return Sequence{}, fmt.Errorf("talker: utterance %q: %w", u.ID, err)
	}
	return FineTuningRows(cfg, u.ID, append(cfg.Role(), u.Text...), u.Codes, voice)
}

// FineTuningRows is the layout of the reference's fine-tuning: the prompt of a whole text in an open language, and the
// speech that completes it.
//
//	rows            text track   codec track
//	0–2             role         -
//	3, 4, 5         pad          nothink, think_bos, think_eos
//	6               pad          the speaker
//	7               bos          pad
//	one per token   body         pad
//	1               eos          pad
//	1               pad          bos
//	one per frame   pad          all codes; label code 0
//	1               pad          eos; label eos
//
// ids are the role and the body, codes [frames][G].
func FineTuningRows(cfg *Config, name string, ids []int32, codes [][]int32, voice Voice) (Sequence, error) {
	role := len(cfg.Role())
	if len(ids) <= role {
		return Sequence{}, fmt.Errorf("talker: %q: %d text ids, want more than the %d of the role", name, len(ids), role)
	}
	return lay(cfg, ids[:role], None, Request{ID: name, Text: ids[role:], Voice: &voice}).Complete(cfg, codes)
}

// lay makes the prompt of a request whose values have been checked; language is a codec id, or None for an open one.
//
//	rows            text track     codec track
//	instruction     its ids        -
//	3               role           -
//	3 or 4          pad            nothink, think_bos, think_eos; or think, think_bos, language, think_eos
//	0 or 1          pad            the speaker
//	1               bos            pad
//
// and then, with text = transcript of the reference ++ body, both tracks one after the other:
//
//	one per token   text           pad
//	1               eos            pad
//	1               pad            bos
//	frames          pad            the reference's codes
//
// or, streaming, side by side; text beyond the rows trails, a token with each frame that is decoded:
//
//	1 + frames      text ++ eos    bos, the reference's codes
func lay(cfg *Config, role []int32, language int32, r Request) Prompt {
	p := Prompt{Sequence: Sequence{ID: r.ID}}
	if r.Voice != nil {
		p.Speaker = r.Voice.Vector
	}
	for _, id := range r.Instruct {
		p.Rows = append(p.Rows, textRow(id, None))
	}
	p.Rows = append(p.Rows, openingRows(cfg, role, cfg.Talker.tag(language), r.Voice)...)
	text, frames := r.Text, [][]int32(nil)
	if r.Reference != nil {
		text, frames = slices.Concat(r.Reference.Text, r.Text), r.Reference.Codes
	}
	if !r.Streaming {
		p.Rows = append(p.Rows, wholeText(cfg, text)...)
		for _, f := range frames {
			p.Rows = append(p.Rows, frameRow(cfg.PadText, f))
		}
		return p
	}
	p.Trailing = append(slices.Clone(text), cfg.EosText)
	p.Rows = append(p.Rows, textRow(p.next(cfg), cfg.Talker.CodecBos))
	for _, f := range frames {
		p.Rows = append(p.Rows, frameRow(p.next(cfg), f))
	}
	return p
}

// next takes the first token off the trailing text; when there is none left, it is the pad token.
func (p *Prompt) next(cfg *Config) int32 {
	if len(p.Trailing) == 0 {
		return cfg.PadText
	}
	id := p.Trailing[0]
	p.Trailing = p.Trailing[1:]
	return id
}

// openingRows are the rows before the text: role, language tag and voice (nil for none), with codec_pad at the end.
func openingRows(cfg *Config, role, tag []int32, voice *Voice) []Row {
	var rows []Row
	for _, id := range role {
		rows = append(rows, textRow(id, None))
	}
	for _, id := range tag {
		rows = append(rows, textRow(cfg.PadText, id))
	}
	if voice != nil {
		rows = append(rows, voice.row(cfg.PadText))
	}
	return append(rows, textRow(cfg.BosText, cfg.Talker.CodecPad))
}

// wholeText is the rows of a text that is known to its end, up to the start of the audio.
func wholeText(cfg *Config, body []int32) []Row {
	var rows []Row
	for _, id := range body {
		rows = append(rows, textRow(id, cfg.Talker.CodecPad))
	}
	return append(rows, textRow(cfg.EosText, cfg.Talker.CodecPad), textRow(cfg.PadText, cfg.Talker.CodecBos))
}

// tag is the codec tokens that name the language, or leave it open (None).
func (t *TalkerConfig) tag(language int32) []int32 {
	if language == None {
		return []int32{t.NoThink, t.ThinkBos, t.ThinkEos}
	}
	return []int32{t.Think, t.ThinkBos, language, t.ThinkEos}
}

func textRow(text, codec int32) Row { return Row{Text: text, Codec: codec, Label: Ignore} }

// frameRow is a frame that is given, not predicted.
func frameRow(text int32, codes []int32) Row {
	return Row{Text: text, Codec: None, Codes: codes, Label: Ignore}
}

func (v Voice) row(text int32) Row {
	if v.Vector != nil {
		return Row{Text: text, Codec: None, Speaker: true, Label: Ignore}
	}
	return textRow(text, v.ID)
}
