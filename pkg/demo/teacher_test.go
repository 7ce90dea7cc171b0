package demo_test

import (
	"encoding/json"
	"testing"

	"github.com/qakd/qakd/pkg/demo"
)

// The configuration and the corpus must speak of one language.
func TestTeacherConfigFitsTheCorpus(t *testing.T) {
	var cfg struct {
		Pad    int `json:"tts_pad_token_id"`
		Talker struct {
			Groups    int            `json:"num_code_groups"`
			Vocab     int            `json:"vocab_size"`
			TextVocab int            `json:"text_vocab_size"`
			Speakers  map[string]int `json:"spk_id"`
			Predictor struct {
				Groups int `json:"num_code_groups"`
				Vocab  int `json:"vocab_size"`
			} `json:"code_predictor_config"`
		} `json:"talker_config"`
	}
	text, err := demo.TeacherConfig()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &cfg); err != nil {
		t.Fatal(err)
	}
	c := cfg.Talker
	if c.Groups != demo.Groups || c.Predictor.Groups != demo.Groups || c.Predictor.Vocab != demo.Codebook {
		t.Errorf("groups %d and %d, codebook %d; want %d, %d, %d", c.Groups, c.Predictor.Groups, c.Predictor.Vocab, demo.Groups, demo.Groups, demo.Codebook)
	}
	if c.TextVocab != demo.TextVocab || cfg.Pad >= c.TextVocab {
		t.Errorf("text vocabulary %d, pad %d; want %d, a pad inside", c.TextVocab, cfg.Pad, demo.TextVocab)
	}
	seen := map[int]bool{}
	for _, name := range demo.Speakers() {
		id, known := c.Speakers[name]
		if !known || id < demo.Codebook || id >= c.Vocab || seen[id] {
			t.Errorf("speaker %s has id %d, want its own id from %d to %d", name, id, demo.Codebook, c.Vocab-1)
		}
		seen[id] = true
	}
	if len(c.Speakers) != len(demo.Speakers()) {
		t.Errorf("%d speakers in the configuration, %d in the corpus", len(c.Speakers), len(demo.Speakers()))
	}
}
