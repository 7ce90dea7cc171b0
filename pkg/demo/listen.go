package demo

import (
	"math"
	"math/cmplx"
	"slices"
)

// A Listener hears which phones a waveform says, and at which pitch, by nothing but the true sounds: a frame is the phone
// whose sound has the nearest spectral envelope. It measures whether a decoder's speech can be understood. It is read-only
// and safe for concurrent use.
type Listener struct{ known []envelope }

// envelope is the level of bands in nepers, without the mean.
type envelope struct {
	phone int
	band  [bands]float64
}

const (
	window  = 1024 // samples that are heard at a time, in the part of a frame that has its own sound
	bands   = 24
	lowest  = 150  // Hz
	highest = 9000 // Hz
	deaf    = 1e-3 // power, of the loudest band's, that is not heard: 30 dB below
)

// NewListener learns the sounds: each phone in each variant at each pitch.
func NewListener() *Listener {
	l := &Listener{}
	for phone := range Phones {
		for variant := range Variants {
			v := voiceOf(phone, variant, 1)
			for _, steps := range []int{8, 12, 16, 20} {
				x := make([]float64, 2*Hop)
				v.speak(x, 0, steps, v)
				v.speak(x, Hop, steps, v)
				l.known = append(l.known, envelope{phone, envelopeOf(x[Hop:])})
			}
		}
	}
	return l
}

// Phones are what each frame of the samples sounds like most, by number.
func (l *Listener) Phones(samples []float32) []int {
	out := make([]int, len(samples)/Hop)
	for f := range out {
		heard, least := envelopeOf(wide(samples[f*Hop:(f+1)*Hop])), math.Inf(1)
		for _, k := range l.known {
			d := 0.0
			for i, v := range k.band {
				d += (v - heard[i]) * (v - heard[i])
			}
			if d < least {
				out[f], least = k.phone, d
			}
		}
	}
	return out
}

// Distance is how differently two waveforms of one length sound: the root mean square difference of the levels of their
// bands, in dB, mean over frames.
func (l *Listener) Distance(a, b []float32) float64 {
	total, frames := 0.0, min(len(a), len(b))/Hop
	for f := range frames {
		x, y := hear(wide(a[f*Hop:(f+1)*Hop])), hear(wide(b[f*Hop:(f+1)*Hop]))
		d := 0.0
		for i := range x {
			d += (x[i] - y[i]) * (x[i] - y[i]) / bands
		}
		total += math.Sqrt(d)
	}
	return total / float64(frames) * 20 / math.Ln10
}

// Pitch of each frame in Hz, 0 where there is none: the lag at which the frame is most like itself.
func (l *Listener) Pitch(samples []float32) []float64 {
	out := make([]float64, len(samples)/Hop)
	for f := range out {
		out[f] = pitch(wide(samples[f*Hop : (f+1)*Hop]))
	}
	return out
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// pitch is found by normalized autocorrelation; the shortest of nearly equal lags counts.
func pitch(x []float64) float64 {
	const enough, lowestHz, highestHz = 0.6, 90, 280
	x = x[fade:]
	like := map[int]float64{}
	best := 0.0
	for lag := Rate / highestHz; lag <= Rate/lowestHz; lag++ {
		var xy, xx, yy float64
		for i := range len(x) - lag {
			xy, xx, yy = xy+x[i]*x[i+lag], xx+x[i]*x[i], yy+x[i+lag]*x[i+lag]
		}
		like[lag] = xy / math.Sqrt(xx*yy+1e-12)
		best = max(best, like[lag])
	}
	if best < enough {
		return 0
	}
	for lag := Rate / highestHz; ; lag++ {
		if like[lag] >= 0.95*best && like[lag] >= like[lag+1] {
			return float64(Rate) / float64(lag)
		}
	}
}

// hear is the levels of a frame's bands in nepers, of two windows in its last three quarters.
func hear(frame []float64) (e [bands]float64) {
	for _, start := range []int{Hop - window, fade} {
		x := make([]complex128, window)
		for i := range x {
			hann := (1 - math.Cos(2*math.Pi*float64(i)/window)) / 2
			x[i] = complex(frame[start+i]*hann, 0)
		}
		fourier(x)
		for i, z := range x[:window/2] {
			p := real(z * cmplx.Conj(z))
			for b := range e {
				e[b] += filters[b][i] * p
			}
		}
	}
	loudest := slices.Max(e[:])
	for b, v := range e {
		e[b] = math.Log(v+deaf*loudest+1e-30) / 2
	}
	return e
}

// envelopeOf is the levels without their mean: what a sound is, however loud.
func envelopeOf(frame []float64) [bands]float64 {
	e := hear(frame)
	mean := sum(e[:]) / bands
	for b := range e {
		e[b] -= mean
	}
	return e
}

// filters are the weights of the spectrum's bins in each band: triangles on the mel scale.
var filters = func() (w [bands][window / 2]float64) {
	mel := func(hz float64) float64 { return math.Log1p(hz / 700) }
	step := (mel(highest) - mel(lowest)) / (bands + 1)
	for b := range w {
		for i := range w[b] {
			at := (mel(float64(i)*Rate/window) - mel(lowest)) / step
			w[b][i] = max(0, 1-math.Abs(at-float64(b+1)))
		}
	}
	return w
}()
