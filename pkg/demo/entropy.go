package demo

import (
	"fmt"
	"math"

	"github.com/qakd/qakd/pkg/data"
)

// Shuffle says which conditions of a code are replaced by another utterance's before scoring.
type Shuffle int

// What Score can shuffle.
const (
	Straight       Shuffle = iota // nothing
	ShuffleSpeaker                // speaker: every utterance is scored as another speaker's
	ShuffleLower                  // lower codes: code g is scored given the codes below g of another frame
)

// Score is nats per event under the true probabilities. An event is a frame for codebooks 1 … 15; codebook 0 has one
// more in each utterance, its end.
type Score struct {
	Frames       int
	Ends         int             // utterances
	Entropy      [Groups]float64 // mean of the exact conditional entropies
	CrossEntropy [Groups]float64 // mean of -log p of what was drawn, after the shuffle
}

// TotalEntropy is the entropy of a frame: the sum over codebooks.
func (s Score) TotalEntropy() float64 { return sum(s.Entropy[:]) }

// TotalCrossEntropy is the cross-entropy of a frame: the sum over codebooks.
func (s Score) TotalCrossEntropy() float64 { return sum(s.CrossEntropy[:]) }

func sum(x []float64) float64 {
	t := 0.0
	for _, v := range x {
		t += v
	}
	return t
}

// Score measures all utterances of a set with the true probabilities. For ShuffleSpeakerutterance i is scored as
// the speaker 1 + i mod 7 places further; for ShuffleLower the lower codes come from a frame of the utterance before
// (of the last one, for the first). Every utterance needs a known speaker and a text that its frames follow.
func (c *Corpus) Score(set data.Set, how Shuffle) (Score, error) {
	var s Score
	if set.Len() == 0 {
		return s, fmt.Errorf("demo: %w", data.ErrEmpty)
	}
	other, err := set.At(set.Len() - 1)
	if err != nil {
		return s, err
	}
	for i := range set.Len() {
		u, err := set.At(i)
		if err != nil {
			return s, err
		}
		speaker := SpeakerIndex(u.Speaker)
		if speaker < 0 {
			return s, fmt.Errorf("demo: utterance %q: speaker is %q, want one of %v", u.ID, u.Speaker, speakers)
		}
		if how == ShuffleSpeaker {
			speaker = (speaker + 1 + i%(len(speakers)-1)) % len(speakers)
		}
		lower := u.Codes
		if how == ShuffleLower {
			lower = other.Codes
		}
		if err := c.score(&s, u, speaker, lower); err != nil {
			return s, fmt.Errorf("utterance %q: %w", u.ID, err)
		}
		other = u
	}
	for g := range Groups {
		events := float64(s.Frames)
		if g == 0 {
			events += float64(s.Ends)
		}
		s.Entropy[g] /= events
		s.CrossEntropy[g] /= events
	}
	return s, nil
}

// score adds an utterance; frame f takes its lower codes from lower[f mod len].
func (c *Corpus) score(s *Score, u data.Utterance, speaker int, lower [][]int32) error {
	var p [Codebook]float64
	var all [Groups - 1][Codebook]float64
	st := State{Text: u.Text, Speaker: speaker}
	for f := 0; f <= len(u.Codes); f++ {
		end, err := c.Code0(p[:], st)
		if err != nil {
			return err
		}
		s.Entropy[0] += entropy(p[:]) + plogp(end)
		if f == len(u.Codes) {
			s.CrossEntropy[0] -= math.Log(end)
			break
		}
		frame := u.Codes[f]
		s.CrossEntropy[0] -= math.Log(p[frame[0]])
		c.Codes(&all, lower[f%len(lower)], st)
		for g := 1; g < Groups; g++ {
			s.Entropy[g] += entropy(all[g-1][:])
			s.CrossEntropy[g] -= math.Log(all[g-1][frame[g]])
		}
		st.Past = frame
	}
	s.Frames += len(u.Codes)
	s.Ends++
	return nil
}

// entropy is -sum p log p in nats.
func entropy(p []float64) float64 {
	h := 0.0
	for _, x := range p {
		h += plogp(x)
	}
	return h
}

func plogp(x float64) float64 {
	if x == 0 {
		return 0
	}
	return -x * math.Log(x)
}
