package inspect

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/talker"
)

// The batch of Forward.
const (
	rowsSeed   = 1
	utterances = 2
	textTokens = 6 // of a made utterance; the second is shorter by one, so that there is padding
	frames     = 4 // likewise
)

// demoSize is tts_model_size of the built-in teacher and of what is made from it.
const demoSize = "demo"

// sequences are the rows that Forward runs, and where they come from.
func (c *Checkpoint) sequences() (seqs []talker.Sequence, source string, err error) {
	if c.Config.Size == demoSize {
		seqs, err = c.demoSequences()
		return seqs, "held-out utterances of the demo's language", err
	}
	r := rand.New(rand.NewPCG(rowsSeed, 0))
	for i := range utterances {
		s, err := c.madeSequence(r, i)
		if err != nil {
			return nil, "", err
		}
		seqs = append(seqs, s)
	}
	return seqs, fmt.Sprintf("random text and codes (seed %d)", rowsSeed), nil
}

func (c *Checkpoint) demoSequences() ([]talker.Sequence, error) {
	set, err := demo.New().Set(demo.Selection, rowsSeed, utterances)
	if err != nil {
		return nil, err
	}
	var seqs []talker.Sequence
	for i := range utterances {
		u, err := set.At(i)
		if err != nil {
			return nil, err
		}
		s, err := talker.TrainingRows(c.Config, u)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, s)
	}
	return seqs, nil
}

// madeSequence is an utterance of the prompt layout that the configuration calls for: a preset speaker where it has some,
// a random vector where voices are cloned, none where an instruction describes the voice.
func (c *Checkpoint) madeSequence(r *rand.Rand, i int) (talker.Sequence, error) {
	cfg := c.Config
	q := talker.Request{ID: fmt.Sprintf("made-%d", i)}
	words := min(cfg.Talker.TextVocab, int64(cfg.ImStart)) // added tokens come after the words
	for range textTokens - i {
		q.Text = append(q.Text, int32(r.Int64N(max(words, 1))))
	}
	switch names := slices.Sorted(maps.Keys(cfg.Talker.SpeakerIDs)); {
	case len(names) > 0:
		voice, err := cfg.PresetVoice(names[i%len(names)])
		if err != nil {
			return talker.Sequence{}, err
		}
		q.Voice = &voice
	case cfg.Type == "base":
		vector := make([]float32, cfg.Talker.Hidden)
		for j := range vector {
			vector[j] = float32(r.NormFloat64())
		}
		q.Voice = &talker.Voice{Vector: vector}
	}
	p, err := talker.DecodingRows(cfg, q)
	if err != nil {
		return talker.Sequence{}, err
	}
	speech := make([][]int32, frames-i)
	for f := range speech {
		speech[f] = make([]int32, cfg.Groups())
		for g := range speech[f] {
			speech[f][g] = int32(r.Int64N(cfg.Codebook()))
		}
	}
	return p.Complete(cfg, speech)
}
