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

// FineTuningRows is the layout of the reference's fine-tuning: the whole text, then the audio, language not given.
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
	t := &cfg.Talker
	role := len(cfg.Role())
	if len(ids) <= role {
		return Sequence{}, fmt.Errorf("talker: %q: %d text ids, want more than the %d of the role", name, len(ids), role)
	}
	s := Sequence{ID: name, Rows: openingRows(cfg, ids[:role], t.tag(None), &voice), Speaker: voice.Vector}
	s.Rows = append(s.Rows, wholeText(cfg, ids[role:])...)
	for i, f := range codes {
		if len(f) != cfg.Groups() {
			return Sequence{}, fmt.Errorf("talker: %q frame %d has %d codes, want %d", name, i, len(f), cfg.Groups())
		}
		s.Rows = append(s.Rows, Row{Text: cfg.PadText, Codec: None, Codes: f, Label: f[0]})
	}
	s.Rows = append(s.Rows, Row{Text: cfg.PadText, Codec: t.CodecEos, Label: t.CodecEos})
	return s, nil
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

func (v Voice) row(text int32) Row {
	if v.Vector != nil {
		return Row{Text: text, Codec: None, Speaker: true, Label: Ignore}
	}
	return textRow(text, v.ID)
}
