package talker

import (
	"strings"
	"testing"
)

// No text of a config.json makes a panic, and what is accepted can be declared and lay out rows.
func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{``, `{}`, `null`, `[]`, `{"talker_config": 3}`, `{"talker_config": {"code_predictor_config": null}}`,
		`{"model_type": "qwen3_tts", "talker_config": {"rope_scaling": {"mrope_section": [1e9]}}}`} {
		f.Add([]byte(s))
	}
	for _, fixture := range []string{"tiny-f32", "tiny-sharded"} {
		raw, err := ReadConfig("testdata/" + fixture + "/checkpoint")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw.Raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		cfg, err := ParseConfig(raw)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		m, err := New(cfg)
		if err != nil {
			t.Fatalf("accepted, but not declared: %v", err)
		}
		m.Close()
		r := Request{ID: "u", Text: []int32{0}}
		for name := range cfg.Talker.SpeakerIDs {
			if v, err := cfg.PresetVoice(name); err == nil {
				r.Voice = &v
			}
		}
		if p, err := DecodingRows(cfg, r); err == nil {
			if _, err := Collate([]Sequence{p.Sequence}, PadLeft); err != nil {
				t.Error(err)
			}
		}
	})
}
