package demo

import (
	"math"
	"slices"
)

// likelihood of each speaker for codes 1 … 15: the logarithm of a code's probability, over all lower codes.
func (c *Corpus) likelihood() (like [Groups - 1][Codebook][len(pitches)]float64) {
	for g := range like {
		var usual [Codebook]float64 // how often a code is drawn if nobody in particular speaks
		for l := range c.lower[g] {
			total := sum(c.lower[g][l][:])
			for j := range usual {
				usual[j] += c.lower[g][l][j] / total
			}
		}
		for s := range pitches {
			total := 0.0
			for j, u := range usual {
				total += u * c.speaker[g][s][j]
			}
			for j := range usual {
				like[g][j][s] = math.Log(c.speaker[g][s][j] / total)
			}
		}
	}
	return like
}

// speakerOf is the index of the speaker who most likely says the frames, by codes 1 … 15 as if they did not depend on
// each other.
func (c *Corpus) speakerOf(frames [][]int32) int {
	var score [len(pitches)]float64
	for _, frame := range frames {
		for g := 1; g < Groups; g++ {
			for s := range score {
				score[s] += c.likely[g-1][frame[g]][s]
			}
		}
	}
	best := 0
	for s, v := range score {
		if v > score[best] {
			best = s
		}
	}
	return best
}

// Hearing is what code (0 … Codebook-1) of codebook g (1 … Groups-1) does to the sound of a frame: it adds to each
// speaker's log-likelihood, and to the prosody that makes it loud.
func (c *Corpus) Hearing(g, code int) (speakers []float64, loud float64) {
	return slices.Clone(c.likely[g-1][code][:]), c.accent[g][code][0]
}
