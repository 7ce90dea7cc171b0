package parity

import (
	"fmt"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
)

// samplingSection processes scores stage by stage, for each history of codes 0 in the goldens: "h3" is one of three.
func samplingSection(c *nn.Context, x *inputs) error {
	s, minimum, err := x.settings()
	if err != nil || !x.has("logits") {
		return err
	}
	logits, err := tensor.Floats(x.tensor("logits"))
	if err != nil {
		return err
	}
	B, V := x.shape("logits")[0], x.shape("logits")[1]
	for drawn := range 10 {
		pre := fmt.Sprintf("h%d.", drawn)
		if !x.has(pre + "history") {
			continue
		}
		history := narrow(x.ints(pre + "history"))
		stages := make(map[string][][]float32)
		for row := range B {
			scores := slices.Clone(logits[row*V : (row+1)*V])
			stage := func(name string) { stages[name] = append(stages[name], slices.Clone(scores)) }
			talker.Penalize(scores, history[int(row)*drawn:(int(row)+1)*drawn], s.RepetitionPenalty)
			stage("after_repetition")
			x.m.Config.Suppress(scores, drawn >= minimum)
			stage("after_suppress")
			unfiltered := slices.Clone(scores)
			talker.Warp(scores, s.Temperature, s.TopK, 1)
			stage("after_top_k")
			copy(scores, unfiltered)
			talker.Warp(scores, s.Temperature, s.TopK, s.TopP)
			stage("after_top_p")
			for i, p := range talker.Softmax(scores) {
				scores[i] = float32(p)
			}
			stage("probs")
		}
		for name, rows := range stages {
			x.out.put(pre+name, c.FromFloats(shown(slices.Concat(rows...)), B, V))
		}
	}
	return nil
}

// settings are in words in the manifest.
func (x *inputs) settings() (s talker.Sampling, minimum int, err error) {
	const words = "raw logits; rep.penalty %g, min_new %d, temperature %g, top_k %d, top_p %g"
	s = talker.DefaultSampling()
	for _, e := range x.f.tensors {
		if e.File == x.file && e.Name == "logits" {
			if _, err := fmt.Sscanf(e.Meaning, words, &s.RepetitionPenalty, &minimum, &s.Temperature, &s.TopK, &s.TopP); err != nil {
				return s, 0, fmt.Errorf("logits: meaning %q, want %q: %w", e.Meaning, words, err)
			}
		}
	}
	return s, minimum, s.Validate()
}
