package demo

import (
	"math"
	"math/rand/v2"
)

// Sizes of the corpus. Codebook and Groups are also the sizes of the demo teacher.
const (
	Codebook = 64 // codes per codebook: Phones * Variants for codebook 0
	Groups   = 16 // codebooks, and so codes per frame
	Phones   = 16 // letters of the synthetic language
	Variants = Codebook / Phones
	MinText  = 3 // phones of the shortest text
	MaxText  = 7
)

// tableSeed decides every probability of the language. Another value is another language: a teacher trained on this
// one does not know it.
const tableSeed = 20240611

// Strengths of the influences on a code: standard deviations of logits, in nats.
const (
	lowerStrength   = 1.7 // code g-1 of the frame
	prosodyStrength = 0.8 // prosody of the frame before
	speakerStrength = 1.1
)

// Ranks of the influences: few numbers decide them, so that a small network can learn them.
const (
	lowerRank   = 3
	speakerRank = 3
	prosodyRank = 2 // coordinates of the prosody
)

// Prosody is rounded to a grid, so that its influence is a table too.
const (
	prosodyLevels = 65
	prosodyStep   = 0.125 // grid from -4 to 4
)

// Corpus is the synthetic language: its probability tables. It is read-only after New and safe for concurrent use.
type Corpus struct {
	// Codebook 0. Staying with a phone has logit stayBias + stayPhone + stayVariant + staySpeaker; a new variant has
	// logits variantPhone + variantSpeaker + variantPast, whether the phone is old or new.
	stayPhone      [Phones]float64
	stayVariant    [Variants]float64
	staySpeaker    []float64
	variantPhone   [Phones][Variants]float64
	variantSpeaker [][Variants]float64
	variantPast    [Variants][Variants]float64

	// Codebooks 1 … 15 (index g-1): exp of the additive logit tables, [condition][code].
	lower   [Groups - 1]table
	speaker [Groups - 1]table
	prosody [Groups - 1][prosodyRank]table // condition: level of the coordinate

	accent [Groups][Codebook][prosodyRank]float64 // what a code adds to the prosody of its frame

	likely [Groups - 1][Codebook][len(pitches)]float64 // what a code says about who speaks (see speakerOf)
}

// table holds positive weights of codes under each value of one condition.
type table [][Codebook]float64

// New builds the language. It is the same at every call.
func New() *Corpus {
	r := rand.New(rand.NewPCG(tableSeed, 0))
	c := &Corpus{}
	n := len(speakers)
	c.staySpeaker = make([]float64, n)
	c.variantSpeaker = make([][Variants]float64, n)
	fill(r, c.stayPhone[:], 0.4)
	fill(r, c.stayVariant[:], 0.5)
	fill(r, c.staySpeaker, 0.4)
	for p := range c.variantPhone {
		fill(r, c.variantPhone[p][:], 0.8)
	}
	for s := range c.variantSpeaker {
		fill(r, c.variantSpeaker[s][:], 0.8)
	}
	for v := range c.variantPast {
		fill(r, c.variantPast[v][:], 0.8)
	}
	voices := normal(r, n*speakerRank, 1)
	grid := make([]float64, prosodyLevels)
	for i := range grid {
		grid[i] = float64(i-prosodyLevels/2) * prosodyStep
	}
	for g := 1; g < Groups; g++ {
		c.lower[g-1] = lowRank(r, normal(r, Codebook*lowerRank, 1), lowerRank, lowerStrength)
		c.speaker[g-1] = lowRank(r, voices, speakerRank, speakerStrength)
		for d := range c.prosody[g-1] {
			c.prosody[g-1][d] = lowRank(r, grid, 1, prosodyStrength/math.Sqrt(prosodyRank))
		}
	}
	for g := range c.accent {
		for code := range c.accent[g] {
			fill(r, c.accent[g][code][:], 1/math.Sqrt(Groups))
		}
	}
	c.likely = c.likelihood()
	return c
}

func fill(r *rand.Rand, x []float64, std float64) {
	for i := range x {
		x[i] = std * r.NormFloat64()
	}
}

func normal(r *rand.Rand, n int, std float64) []float64 {
	x := make([]float64, n)
	fill(r, x, std)
	return x
}

// lowRank is a table whose logits are scalar products of a condition's vector and a normal vector of the code, scaled
// to standard deviation std where the conditions' vectors have unit variance.
func lowRank(r *rand.Rand, conditions []float64, rank int, std float64) table {
	codes := normal(r, Codebook*rank, std/math.Sqrt(float64(rank)))
	t := make(table, len(conditions)/rank)
	for i := range t {
		for j := range t[i] {
			x := 0.0
			for k := range rank {
				x += float64(conditions[i*rank+k] * codes[j*rank+k])
			}
			t[i][j] = math.Exp(x)
		}
	}
	return t
}
