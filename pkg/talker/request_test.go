package talker

import (
	"math"
	"strings"
	"testing"
)

// Requests that no speech can be made of are refused in one line that says what was found and what is wanted.
func TestRequestErrors(t *testing.T) {
	base, err := ReadConfig("testdata/tiny-f32/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	custom := shardedConfig(t)
	design, small, short := *custom, *custom, *custom
	design.Type, small.Size, short.Talker.MaxPositions = VoiceDesign, "0b6", 12
	preset, err := custom.PresetVoice("Ryan")
	if err != nil {
		t.Fatal(err)
	}
	G := base.Groups()
	vector := func(n int64, v float32) *Voice {
		x := make([]float32, n)
		x[n-1] = v
		return &Voice{Vector: x}
	}
	clone := vector(base.Talker.Hidden, 1)
	text := []int32{40, 41}
	ref := func(text []int32, frames ...[]int32) *Reference { return &Reference{Text: text, Codes: frames} }
	for _, tt := range []struct {
		cfg  *Config
		r    Request
		want string
	}{
		{custom, Request{Voice: &preset}, `the text is empty, want at least one token`},
		{custom, Request{Text: []int32{40, 517}, Voice: &preset}, `id 1 of the text is 517, want 0 … 516`},
		{custom, Request{Text: []int32{-1}, Voice: &preset}, `id 0 of the text is -1, want 0 … 516`},
		{custom, Request{Text: text}, `no voice is given, but a "custom_voice" checkpoint wants one of its speakers`},
		{custom, Request{Text: text, Voice: clone}, `a voice vector is given, but a "custom_voice" checkpoint wants one of its speakers`},
		{custom, Request{Text: text, Voice: &preset, Reference: ref(text)}, `reference speech is given, but a "custom_voice" checkpoint wants none`},
		{custom, Request{Text: text, Voice: &preset, Instruct: []int32{1, 9999}}, `id 1 of the instruction is 9999, want 0 … 516`},
		{custom, Request{Text: text, Voice: &preset, Language: "Beijing_Dialect"}, `language "Beijing_Dialect" is not known, want auto or one of ["chinese" "english"`},
		{custom, Request{Text: text, Voice: &Voice{ID: 1088}}, `the voice has id 1088, want 0 … 1087`},
		{&small, Request{Text: text, Voice: &preset, Instruct: text}, `an instruction is given, but a "custom_voice" checkpoint wants none at size "0b6"`},
		{&design, Request{Text: text, Voice: &preset}, `a voice is given, but a "voice_design" checkpoint wants none`},
		{&design, Request{Text: text, Voice: &preset, Reference: ref(text)}, `instruction describes the voice; reference speech is given, but`},
		{base, Request{Text: text}, `no voice is given, but a "base" checkpoint wants the vector of a voice to clone`},
		{base, Request{Text: text, Voice: &preset}, `a preset voice is given, but a "base" checkpoint wants the vector`},
		{base, Request{Text: text, Voice: clone, Instruct: text}, `an instruction is given, but a "base" checkpoint wants none`},
		{base, Request{Text: text, Voice: vector(63, 1)}, `the voice vector has 63 values, want hidden_size 64`},
		{base, Request{Text: text, Voice: vector(64, float32(math.NaN()))}, `value 63 of the voice vector is NaN, want a finite number`},
		{base, Request{Text: text, Voice: clone, Reference: ref(nil, make([]int32, G))}, `the transcript of the reference is empty, want at least one token`},
		{base, Request{Text: text, Voice: clone, Reference: ref(text)}, `the reference has no frames, want at least one`},
		{base, Request{Text: text, Voice: clone, Reference: ref(text, make([]int32, G), make([]int32, 15))}, `reference frame 1 has 15 codes, want 16`},
		{base, Request{Text: text, Voice: clone, Reference: ref(text, append(make([]int32, 15), 64))}, `reference frame 0 has code 64 in group 15, want 0 … 63`},
		{&short, Request{Text: make([]int32, 3), Voice: &preset}, `13 rows, want at most max_position_embeddings 12`},
		{&short, Request{Text: make([]int32, 4), Voice: &preset, Streaming: true}, `9 rows and 4 tokens of text to come are 13 positions, want at most max_position_embeddings 12`},
	} {
		tt.r.ID = "u7"
		_, err := DecodingRows(tt.cfg, tt.r)
		if err == nil || !strings.Contains(err.Error(), `talker: request "u7": `) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, tt.want)
		}
	}
	for _, r := range []Request{{Text: make([]int32, 2), Voice: &preset}, {Text: make([]int32, 3), Voice: &preset, Streaming: true}} {
		if _, err := DecodingRows(&short, r); err != nil {
			t.Errorf("12 positions of 12 are refused: %v", err)
		}
	}
	if _, err := DecodingRows(&design, Request{Text: text}); err != nil {
		t.Errorf("a voice without instruction is refused: %v", err)
	}
}
