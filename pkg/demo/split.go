package demo

import (
	"fmt"
	"math/rand/v2"

	"github.com/qakd/qakd/pkg/data"
)

// Split is a part of all texts. The hash of a text decides its split, so no text is in two, whatever the seeds are.
type Split int

// The splits and their shares of all texts, in percent.
const (
	Pretrain     Split = iota // 50
	Calibration               // 10
	Distillation              // 20
	Selection                 // 10: choice of a checkpoint
	Evaluation                // 10: final numbers only
)

var splitNames = [...]string{"pretrain", "calibration", "distillation", "selection", "evaluation"}
var splitEnds = [...]uint64{50, 60, 80, 90, 100}

// String is the name of the split.
func (s Split) String() string {
	if s < 0 || int(s) >= len(splitNames) {
		return fmt.Sprintf("Split(%d)", int(s))
	}
	return splitNames[s]
}

// SplitOf is the split that a text belongs to.
func SplitOf(text []int32) Split {
	h := uint64(14695981039346656037) // FNV-1a, 64 bit
	for _, id := range text {
		h = (h ^ uint64(uint32(id))) * 1099511628211
	}
	h ^= h >> 32 // FNV's low bits mix poorly for short keys: fold, multiply, fold
	h *= 0x9e3779b97f4a7c15
	h ^= h >> 29
	for s, end := range splitEnds {
		if h%100 < end {
			return Split(s)
		}
	}
	return Evaluation
}

// Set is a reproducible sample of one split: utterance i depends on the split, the seed and i alone. It is a data.Set.
type Set struct {
	corpus *Corpus
	split  Split
	seed   uint64
	n      int
}

// Set draws n utterances of a split. An unknown split or n < 1 is an error.
func (c *Corpus) Set(split Split, seed uint64, n int) (*Set, error) {
	if split < 0 || int(split) >= len(splitNames) {
		return nil, fmt.Errorf("demo: split is %v, want one of %v", split, splitNames)
	}
	if n < 1 {
		return nil, fmt.Errorf("demo: %d utterances of split %v, want at least 1", n, split)
	}
	return &Set{corpus: c, split: split, seed: seed, n: n}, nil
}

// Len is the number of utterances.
func (s *Set) Len() int { return s.n }

// Text returns the text of utterance i alone, which is quick; it is empty outside 0 ≤ i < Len.
func (s *Set) Text(i int) []int32 {
	if i < 0 || i >= s.n {
		return nil
	}
	text, _ := s.draw(i)
	return text
}

// At returns utterance i, 0 ≤ i < Len.
func (s *Set) At(i int) (data.Utterance, error) {
	if i < 0 || i >= s.n {
		return data.Utterance{}, fmt.Errorf("demo: utterance %d of %d of split %v", i, s.n, s.split)
	}
	text, r := s.draw(i)
	speaker := r.IntN(len(speakers))
	return data.Utterance{
		ID:       fmt.Sprintf("%v-%d-%d", s.split, s.seed, i),
		Text:     text,
		Speaker:  speakers[speaker],
		Language: Language,
		Codes:    s.corpus.sample(r, text, speaker),
	}, nil
}

// draw rejects texts of other splits; the stream goes on with the speaker and the codes.
func (s *Set) draw(i int) ([]int32, *rand.Rand) {
	r := rand.New(rand.NewPCG(s.seed, uint64(s.split)<<48|uint64(i)))
	for {
		if text := drawText(r); SplitOf(text) == s.split {
			return text, r
		}
	}
}

// drawText draws a length and then that many distinct phones: distinct, so that a frame's phone tells the place in
// the text.
func drawText(r *rand.Rand) []int32 {
	n := MinText + r.IntN(MaxText-MinText+1)
	return Text(r.Perm(Phones)[:n]...)
}

var _ data.Set = (*Set)(nil)
