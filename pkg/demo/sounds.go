package demo

import (
	"math"
	"math/cmplx"
)

// resonance is a formant: what one pulse of the voice sets ringing, e^(-π·width·t)·sin(2π·hz·t).
type resonance struct {
	hz, width float64 // center and bandwidth
	level     float64 // amplitude of the ring, relative to the sound's others
}

// sound is how a phone sounds: resonances that the pulses of the voice excite, others that noise does, and how loud
// both are (root mean square).
type sound struct {
	voiced, noise           []resonance
	voicedLevel, noiseLevel float64
}

// sounds of the phones a … p: nine vowels, three sonorants, a voiced and three voiceless fricatives.
var sounds = [Phones]sound{
	vowel(740, 1180, 2500), // father
	vowel(290, 2250, 3000), // see
	vowel(330, 780, 2350),  // boot
	vowel(520, 1800, 2550), // bed
	vowel(540, 900, 2650),  // law
	vowel(480, 1350, 1800), // bird
	vowel(700, 1680, 2850), // cat
	vowel(300, 1650, 2200), // French rue
	vowel(420, 2050, 2750), // day
	sonorant(resonance{260, 90, 1}, resonance{1050, 200, 0.08}, resonance{2200, 300, 0.04}),  // m
	sonorant(resonance{270, 90, 1}, resonance{1550, 200, 0.16}, resonance{2500, 300, 0.08}),  // n
	sonorant(resonance{360, 100, 1}, resonance{1150, 200, 0.35}, resonance{2800, 300, 0.25}), // l
	{ // z
		voiced: []resonance{{260, 100, 1}, {1400, 250, 0.1}}, voicedLevel: 0.07,
		noise: []resonance{{4600, 900, 1}, {6200, 1200, 1}}, noiseLevel: 0.035,
	},
	fricative(resonance{5400, 1200, 1}, resonance{7200, 1500, 1}), // s
	fricative(resonance{2600, 500, 1}, resonance{3600, 800, 0.8}), // sh
	fricative(resonance{1150, 300, 1}, resonance{1900, 400, 0.5}), // Scottish loch
}

func vowel(f1, f2, f3 float64) sound {
	return sound{voiced: []resonance{{f1, 110, 1}, {f2, 160, 0.5}, {f3, 240, 0.25}}, voicedLevel: 0.13}
}

func sonorant(r ...resonance) sound {
	return sound{voiced: r, voicedLevel: 0.09}
}

func fricative(r ...resonance) sound { return sound{noise: r, noiseLevel: 0.06} }

// shifts of the variants: all resonances but the first formant of the voice move by this factor.
var shifts = [Variants]float64{0.985, 0.995, 1.005, 1.015}

// ring is a resonance at the sample rate.
type ring struct {
	level  float64    // amplitude
	growth complex128 // logarithm of what a sample multiplies it by
}

// voicedRings and noiseRings have unit power for pulses a sample apart: n pulses in a frame give power n / Hop.
var voicedRings, noiseRings = func() (v, n [Phones][Variants][]ring) {
	for p, s := range sounds {
		for i, shift := range shifts {
			v[p][i], n[p][i] = rings(s.voiced, 1, shift), rings(s.noise, shift, shift)
		}
	}
	return v, n
}()

func rings(rs []resonance, first, shift float64) []ring {
	out := make([]ring, len(rs))
	for i, r := range rs {
		if i > 0 {
			first = shift
		}
		out[i] = ring{r.level, complex(-math.Pi*r.width/Rate, 2*math.Pi*r.hz*first/Rate)}
	}
	x := make([]float64, Hop)
	excite(x, 0, out, 1)
	power := 0.0
	for _, v := range x {
		power += v * v
	}
	for i := range out {
		out[i].level /= math.Sqrt(power)
	}
	return out
}

// excite adds what a pulse at the time at, in samples, sets ringing in x.
func excite(x []float64, at float64, rs []ring, level float64) {
	const silent = 1e-4 // of the beginning: -80 dB
	if level == 0 {
		return
	}
	n := int(math.Ceil(at))
	late := complex(float64(n)-at, 0)
	for _, r := range rs {
		z, step := cmplx.Exp(r.growth*late)*complex(level*r.level, 0), cmplx.Exp(r.growth)
		end := min(n+int(math.Log(silent)/real(r.growth)), len(x))
		for i := n; i < end; i++ {
			x[i] += imag(z)
			z *= step
		}
	}
}
