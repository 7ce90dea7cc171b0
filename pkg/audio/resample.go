package audio

import (
	"fmt"
	"math"
	"sync"
)

// The low-pass passes up to 91 % of the lower Nyquist frequency and stops 110 dB from there on: 10.9 kHz of 12 for
// 24 kHz. Kaiser's formulas (Oppenheim and Schafer, Discrete-Time Signal Processing, §7.5.3) give the window from these.
const (
	pass        = 0.91
	attenuation = 110.0 // dB
)

var (
	beta   = 0.1102 * (attenuation - 8.7)
	reach  = (attenuation - 7.95) / (2.285 * math.Pi * (1 - pass)) / 2 // half the window, in samples of the lower rate
	cutoff = (1 + pass) / 2                                            // middle of the transition, in lower Nyquists
)

// Resample converts x from one rate to another, in Hz: ceil(len(x)·to/from) samples, of which number k is the
// band-limited signal at time k/to. Nothing is delayed; before and after x there is silence. Equal rates give a copy.
//
// The error of a sine inside the pass band, up to 0.91 of the lower Nyquist frequency, and what is left of one beyond that
// frequency, are about -110 dB of it.
func Resample(x []float32, from, to int) ([]float32, error) {
	for _, rate := range []int{from, to} {
		if err := checkRate(rate); err != nil {
			return nil, fmt.Errorf("resample from %d to %d Hz: %w", from, to, err)
		}
	}
	if from == to {
		return append([]float32(nil), x...), nil
	}
	b := bankFor(from, to)
	up, down := int64(b.up), int64(b.down)
	out := make([]float32, (int64(len(x))*up+down-1)/down)
	for k := range out {
		at := int64(k) * down // in 1/up samples of x
		out[k] = b.at(x, int(at/up), int(at%up))
	}
	return out, nil
}

// bank is the filter for one ratio up/down: the low-pass as seen from each of the up positions that an output can have
// between two inputs.
type bank struct {
	up, down int
	half     int         // inputs on each side
	scale    float64     // cutoff, in Nyquist frequencies of the input
	rows     [][]float32 // [up][2·half]; nil where they would fill the memory, and then they are made each time anew
	scratch  []float32
}

// mostCoefficients of a kept bank: 16 MiB. Common rates need less than 100 KiB.
const mostCoefficients = 1 << 22

var banks sync.Map // [2]int{up, down} -> *bank, kept for the next clip

func bankFor(from, to int) *bank {
	g := gcd(from, to)
	key := [2]int{to / g, from / g}
	if b, ok := banks.Load(key); ok {
		return b.(*bank)
	}
	b := newBank(key[0], key[1])
	if b.rows != nil {
		banks.Store(key, b)
	}
	return b
}

func newBank(up, down int) *bank {
	b := &bank{up: up, down: down}
	lower := min(1, float64(up)/float64(down)) // the lower rate, in input rates
	b.half = int(math.Ceil(reach / lower))
	b.scale = cutoff * lower
	if up > mostCoefficients/(2*b.half) {
		b.scratch = make([]float32, 2*b.half)
		return b
	}
	b.rows = make([][]float32, up)
	for p := range b.rows {
		b.rows[p] = make([]float32, 2*b.half)
		b.fill(b.rows[p], p)
	}
	return b
}

// fill computes the coefficients for an output p/up after an input. They sum to one, so that a constant stays exactly
// what it is at each phase.
func (b *bank) fill(row []float32, p int) {
	lower := b.scale / cutoff
	value := func(i int) float64 {
		d := float64(p)/float64(b.up) + float64(b.half-1-i) // from input i of the row to the output
		return sinc(b.scale*d) * kaiser(d*lower/reach)
	}
	sum := 0.0
	for i := range row {
		sum += value(i)
	}
	for i := range row {
		row[i] = float32(value(i) / sum)
	}
}

// at is the output p/up after input q: Σ row[i]·x[q-half+1+i], over the inputs that there are.
func (b *bank) at(x []float32, q, p int) float32 {
	row := b.scratch
	if b.rows != nil {
		row = b.rows[p]
	} else {
		b.fill(row, p)
	}
	first := q - b.half + 1
	lo, hi := max(0, -first), min(len(row), len(x)-first)
	if lo >= hi {
		return 0
	}
	return dot(row[lo:hi], x[first+lo:first+hi])
}

// dot adds in four lanes, which a CPU does side by side.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// kaiser is the window at x in [-1, 1], zero beyond, less the constant 1/I0(beta).
func kaiser(x float64) float64 {
	if x*x >= 1 {
		return 0
	}
	return bessel(beta * math.Sqrt(1-x*x))
}

// bessel is I0, the modified Bessel function of order zero: Σ ((x/2)^n / n!)².
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for n := 1.0; term > 1e-17*sum; n++ {
		term *= (x / 2 / n) * (x / 2 / n)
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
