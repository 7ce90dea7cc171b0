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
	MinText  = 4 // phones of the shortest text
	MaxText  = 10
)

// tableSeed decides every probability of the language. Another value is another language: a teacher trained on this
// one does not know it.
const tableSeed = 20240611

// Strengths of the influences on a code: standard deviations of logits, in nats.
const (
	lowerStrength   = 2.0 // code g-1 of the frame
	secondStrength  = 0.8 // code g-2 of the frame
	pastStrength    = 1.2 // code g of the frame before
	speakerStrength = 1.2
	lowerRank       = 4 // ranks of the tables
	secondRank      = 2
	pastRank        = 2
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
	second  [Groups - 1]table // empty for g = 1
	past    [Groups - 1]table
	speaker [Groups - 1]table
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
	for g := 1; g < Groups; g++ {
		c.lower[g-1] = lowRank(r, Codebook, lowerRank, lowerStrength)
		if g > 1 {
			c.second[g-1] = lowRank(r, Codebook, secondRank, secondStrength)
		}
		c.past[g-1] = lowRank(r, Codebook, pastRank, pastStrength)
		c.speaker[g-1] = full(r, n, speakerStrength)
	}
	return c
}

func fill(r *rand.Rand, x []float64, std float64) {
	for i := range x {
		x[i] = std * r.NormFloat64()
	}
}

// full is a table whose logits are independent normal values.
func full(r *rand.Rand, conditions int, std float64) table {
	t := make(table, conditions)
	for i := range t {
		fill(r, t[i][:], std)
		for j, x := range t[i] {
			t[i][j] = math.Exp(x)
		}
	}
	return t
}

// lowRank is a table whose logits are scalar products of two normal vectors of the given rank, scaled to standard
// deviation std: few numbers, so that a small network can learn it.
func lowRank(r *rand.Rand, conditions, rank int, std float64) table {
	left := make([]float64, conditions*rank)
	right := make([]float64, Codebook*rank)
	fill(r, left, 1)
	fill(r, right, std/math.Sqrt(float64(rank)))
	t := make(table, conditions)
	for i := range t {
		for j := range t[i] {
			x := 0.0
			for k := range rank {
				x += float64(left[i*rank+k] * right[j*rank+k])
			}
			t[i][j] = math.Exp(x)
		}
	}
	return t
}
