package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// The sound of the language. Codes are heard at 24 kHz, a frame in 1920 samples.
const (
	Rate = 24000 // samples per second
	Hop  = 1920  // samples per frame
)

// pitches are those of the speakers, in steps of 12.5 Hz: 100, 150, 200 or 250 Hz. A pitch that is a multiple of the
// frame rate has a whole number of periods in a frame, so every frame begins with a pulse. Speakers who are hard to tell
// apart have one pitch: a wrong guess is then not heard.
var pitches = [...]int{20, 12, 16, 20, 16, 8, 12, 8}

const (
	memory   = 3    // frames whose codes tell who speaks
	fade     = 480  // samples in which a frame's sound takes over from that of the frame before
	loudness = 0.15 // change of level, in nepers, by one unit of prosody
)

const cell = 12 // samples

// velvet is the noise of voiceless sounds: one pulse in each cell, at a fixed place of it, of a fixed sign. A quarter of a
// frame is drawn and then repeated, which is rougher than noise that is not, and less to learn.
var velvet = func() (v [Hop / cell]struct{ late, sign float64 }) {
	r := rand.New(rand.NewPCG(tableSeed, 1))
	for i := range v {
		if quarter := len(v) / 4; i < quarter {
			v[i].late, v[i].sign = cell*r.Float64(), float64(2*r.IntN(2)-1)
		} else {
			v[i] = v[i%quarter]
		}
	}
	return v
}()

// Speak is the waveform of frames [frames][Groups] of codes: Hop samples each, within ±1. Like everything here it is
// written down: code 0 gives the phone, whose resonances the variant shifts, all codes together the loudness (by their
// prosody) and the speaker, who has a pitch; and it is causal: a frame sounds as it and the three before decide.
//
// A pulse train, or noise, excites the resonances, which ring on into the next frame. In the first 20 ms of a frame the
// sound changes from that of the frame before to its own. A frame of another size, or a code that is none, is an error.
func (c *Corpus) Speak(frames [][]int32) ([]float32, error) {
	if err := checkFrames(frames); err != nil {
		return nil, err
	}
	x := make([]float64, len(frames)*Hop)
	var before voice
	for f, frame := range frames {
		now := voiceOf(int(frame[0]/Variants), int(frame[0]%Variants), math.Exp(loudness*c.energy(frame)))
		now.speak(x, f*Hop, c.steps(frames, f), before)
		before = now
	}
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(max(-1, min(1, v)))
	}
	return out, nil
}

// Pitch is the fundamental frequency of each frame in Hz, 0 for voiceless ones. It refuses what Speak refuses.
func (c *Corpus) Pitch(frames [][]int32) ([]float64, error) {
	if err := checkFrames(frames); err != nil {
		return nil, err
	}
	out := make([]float64, len(frames))
	for f, frame := range frames {
		if sounds[frame[0]/Variants].voicedLevel > 0 {
			out[f] = float64(c.steps(frames, f)) * Rate / Hop
		}
	}
	return out, nil
}

// Phone is the phone of a frame, 0 … Phones-1.
func Phone(frame []int32) int { return int(frame[0]) / Variants }

func checkFrames(frames [][]int32) error {
	for f, frame := range frames {
		if len(frame) != Groups {
			return fmt.Errorf("demo: frame %d has %d codes, want %d", f, len(frame), Groups)
		}
		for g, code := range frame {
			if code < 0 || code >= Codebook {
				return fmt.Errorf("demo: frame %d: code %d of codebook %d, want 0 to %d", f, code, g, Codebook-1)
			}
		}
	}
	return nil
}

// voice is what a frame's codes make of pulses; the zero value is silent.
type voice struct {
	voiced, noise           []ring
	voicedLevel, noiseLevel float64
}

func voiceOf(phone, variant int, gain float64) voice {
	s := sounds[phone]
	return voice{voicedRings[phone][variant], noiseRings[phone][variant], gain * s.voicedLevel, gain * s.noiseLevel}
}

// energy is the first coordinate of the frame's prosody, not rounded, within ±2.
func (c *Corpus) energy(frame []int32) float64 {
	z := 0.0
	for g, code := range frame {
		z += c.accent[g][code][0]
	}
	return min(max(z, -2), 2)
}

// speak adds the frame that begins at start, at a pitch in steps of 12.5 Hz, after a frame of another voice.
func (v voice) speak(x []float64, start, steps int, before voice) {
	for i := range steps {
		at := float64(i*Hop) / float64(steps)
		w, level := min(at/fade, 1), math.Sqrt(Hop/float64(steps))
		excite(x, float64(start)+at, before.voiced, (1-w)*level*before.voicedLevel)
		excite(x, float64(start)+at, v.voiced, w*level*v.voicedLevel)
	}
	for i, p := range velvet {
		at := float64(i*cell) + p.late
		w, level := min(at/fade, 1), p.sign*math.Sqrt(cell)
		excite(x, float64(start)+at, before.noise, (1-w)*level*before.noiseLevel)
		excite(x, float64(start)+at, v.noise, w*level*v.noiseLevel)
	}
}

// steps is the pitch of a frame in steps of 12.5 Hz: that of the most likely speaker of it and the frames before.
func (c *Corpus) steps(frames [][]int32, f int) int {
	return pitches[c.speakerOf(frames[max(0, f+1-memory):f+1])]
}
