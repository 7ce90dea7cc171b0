package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// State is what the next frame depends on: the text, the speaker and the frame before.
type State struct {
	Text    []int32 // diphones of distinct phones
	Speaker int     // index in Speakers
	Past    []int32 // codes of the frame before; nil before the first frame
}

// Code0 writes the exact probabilities of code 0 of the next frame into p (length Codebook) and returns the
// probability that the utterance ends instead; together they sum to 1. A past frame whose phone is not in the text is
// an error, and so is a text without a beginning.
//
// The phone of the frame before is read off its code 0. With the probability of staying the next frame has the same
// phone, else the next one of the text, after the last phone the end. The variant of the phone is drawn anew.
func (c *Corpus) Code0(p []float64, s State) (end float64, err error) {
	clear(p)
	phone, variant := Edge, -1
	if s.Past != nil {
		phone, variant = int(s.Past[0])/Variants, int(s.Past[0])%Variants
	}
	next, ok := after(s.Text, phone)
	if !ok {
		return 0, fmt.Errorf("demo: nothing in the text %s follows %q", Letters(s.Text), letter(phone, 'A'))
	}
	stay := 0.0
	if phone != Edge {
		stay = c.stay(phone, variant, s.Speaker)
		c.variants(p, phone, variant, s.Speaker, stay)
	}
	if next == Edge {
		return 1 - stay, nil
	}
	c.variants(p, next, variant, s.Speaker, 1-stay)
	return 0, nil
}

// stay is the probability that the phone goes on for another frame.
func (c *Corpus) stay(phone, variant, speaker int) float64 {
	const bias = 0.55 // about 2.7 frames a phone
	return 1 / (1 + math.Exp(-(bias + c.stayPhone[phone] + c.stayVariant[variant] + c.staySpeaker[speaker])))
}

// variants spreads the probability mass over the variants of a phone; past is the variant before, -1 none.
func (c *Corpus) variants(p []float64, phone, past, speaker int, mass float64) {
	var w [Variants]float64
	sum := 0.0
	for v := range w {
		x := c.variantPhone[phone][v] + c.variantSpeaker[speaker][v]
		if past >= 0 {
			x += c.variantPast[past][v]
		}
		w[v] = math.Exp(x)
		sum += w[v]
	}
	for v := range w {
		p[phone*Variants+v] = mass * w[v] / sum
	}
}

// levels rounds the prosody of a frame, the sum of its codes' accents, to the grid.
func (c *Corpus) levels(frame []int32) (l [prosodyRank]int) {
	for d := range l {
		z := 0.0
		for g, code := range frame {
			z += c.accent[g][code][d]
		}
		l[d] = min(max(int(math.Round(z/prosodyStep))+prosodyLevels/2, 0), prosodyLevels-1)
	}
	return l
}

// Codes writes the exact probabilities of code g (1 … Groups-1) of the next frame into p[g-1] for all g. frame holds
// the codes of that frame: those of g depend on code g-1 of it. Every probability is positive.
func (c *Corpus) Codes(p *[Groups - 1][Codebook]float64, frame []int32, s State) {
	w := c.frameWeights(s)
	for g := 1; g < Groups; g++ {
		c.code(&p[g-1], g, frame, w)
	}
}

// weights are the factors of a code's probability that the frame itself does not change.
type weights struct {
	speaker int
	past    bool
	level   [prosodyRank]int
}

func (c *Corpus) frameWeights(s State) weights {
	w := weights{speaker: s.Speaker, past: s.Past != nil}
	if w.past {
		w.level = c.levels(s.Past)
	}
	return w
}

func (c *Corpus) code(p *[Codebook]float64, g int, lower []int32, w weights) {
	one, spk := &c.lower[g-1][lower[g-1]], &c.speaker[g-1][w.speaker]
	for j := range p {
		p[j] = one[j] * spk[j]
	}
	if w.past {
		for d, l := range w.level {
			scale(p, &c.prosody[g-1][d][l])
		}
	}
	sum := 0.0
	for _, x := range p {
		sum += x
	}
	for j := range p {
		p[j] /= sum
	}
}

func scale(p, by *[Codebook]float64) {
	for j := range p {
		p[j] *= by[j]
	}
}

// sample draws an utterance of a text. end is reached with probability 1; the length has a geometric tail.
func (c *Corpus) sample(r *rand.Rand, text []int32, speaker int) [][]int32 {
	var p [Codebook]float64
	var frames [][]int32
	s := State{Text: text, Speaker: speaker}
	for {
		end, err := c.Code0(p[:], s)
		if err != nil {
			panic(err) // unreachable: s.Past was drawn from this text
		}
		u := r.Float64()
		if u < end {
			return frames
		}
		frame := make([]int32, Groups)
		frame[0] = draw(p[:], u-end)
		w := c.frameWeights(s)
		for g := 1; g < Groups; g++ {
			c.code(&p, g, frame[:g], w)
			frame[g] = draw(p[:], r.Float64())
		}
		frames = append(frames, frame)
		s.Past = frame
	}
}

// draw returns the code at which the cumulative probability exceeds u; rounding at the end gives the last possible one.
func draw(p []float64, u float64) int32 {
	last := 0
	for j, x := range p {
		if x == 0 {
			continue
		}
		if u < x {
			return int32(j)
		}
		u -= x
		last = j
	}
	return int32(last)
}
