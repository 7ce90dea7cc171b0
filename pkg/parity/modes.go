package parity

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/talker"
)

// mode is how the reference was asked for the speech of one part of generate.safetensors.
type mode struct {
	NonStreaming bool      `json:"non_streaming"`
	Languages    []*string `json:"languages"` // null: not given
	Speakers     []string  `json:"speakers"`  // null: no preset voices
	Frames       []int     `json:"frames"`    // of each utterance
	Max          int       `json:"max_new_tokens"`
}

// modes of the manifest; entries that start with "_" sum up the others.
type modes map[string]mode

// UnmarshalJSON leaves the summary out.
func (m *modes) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*m = make(modes)
	for _, name := range sortedKeys(raw) {
		if strings.HasPrefix(name, "_") {
			continue
		}
		var v mode
		if err := json.Unmarshal(raw[name], &v); err != nil {
			return fmt.Errorf("sections.generate.%s: %w", name, err)
		}
		if len(v.Frames) == 0 || len(v.Languages) != len(v.Frames) || v.Speakers != nil && len(v.Speakers) != len(v.Frames) {
			return fmt.Errorf("sections.generate.%s: %d frames, %d languages and %d speakers, want one for each utterance",
				name, len(v.Frames), len(v.Languages), len(v.Speakers))
		}
		(*m)[name] = v
	}
	return nil
}

// Tokens around the body in the ids of a turn: "<|im_start|>assistant\n" before, "<|im_end|>\n" behind, and behind the
// text to be spoken the opening of the next turn too.
const headTokens, endTokens, tailTokens = 3, 2, 5

// request is utterance b of a mode.
func (x *inputs) request(name string, m mode, b int) (talker.Request, error) {
	item := fmt.Sprintf("%s.%d", name, b)
	ids := narrow(x.ints(item + ".input_ids"))
	if len(ids) < headTokens+tailTokens {
		return talker.Request{}, fmt.Errorf("%s.input_ids has %d ids, want more than %d", item, len(ids), headTokens+tailTokens)
	}
	r := talker.Request{ID: item, Text: ids[headTokens : len(ids)-tailTokens], Streaming: !m.NonStreaming}
	if l := m.Languages[b]; l != nil {
		r.Language = *l
	}
	if x.has(item + ".instruct_ids") {
		r.Instruct = narrow(x.ints(item + ".instruct_ids"))
	}
	if m.Speakers != nil {
		v, err := x.m.Config.PresetVoice(m.Speakers[b])
		if err != nil {
			return r, err
		}
		r.Voice = &v
	}
	if x.has(item + ".speaker_embedding") {
		v, err := tensor.Floats(x.tensor(item + ".speaker_embedding"))
		if err != nil {
			return r, err
		}
		r.Voice = &talker.Voice{Vector: v}
	}
	if x.has(item+".ref_ids", item+".ref_code") {
		ids := narrow(x.ints(item + ".ref_ids"))
		if len(ids) < headTokens+endTokens {
			return r, fmt.Errorf("%s.ref_ids has %d ids, want more than %d", item, len(ids), headTokens+endTokens)
		}
		r.Reference = &talker.Reference{Text: ids[headTokens : len(ids)-endTokens], Codes: x.frames(item + ".ref_code")}
	}
	return r, nil
}

// frames are golden codes [frames][G].
func (x *inputs) frames(name string) [][]int32 {
	return slices.Collect(slices.Chunk(narrow(x.ints(name)), x.m.Config.Groups()))
}

// prompts lays out the utterances of a mode.
func (x *inputs) prompts(name string, m mode) ([]talker.Prompt, error) {
	out := make([]talker.Prompt, len(m.Frames))
	for b := range out {
		r, err := x.request(name, m, b)
		if err != nil {
			return nil, err
		}
		cfg := *x.m.Config
		if r.Voice == nil { // the goldens ask a custom-voice checkpoint for designed voices too
			cfg.Type = talker.VoiceDesign
		}
		if out[b], err = talker.DecodingRows(&cfg, r); err != nil {
			return nil, err
		}
	}
	return out, nil
}
