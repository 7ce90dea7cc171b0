package speaker

import (
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Rate is the sample rate of everything here, in Hz.
const Rate = 24_000

// The spectrogram is fixed; only the number of bands is the checkpoint's.
const (
	fft     = 1024            // samples of a frame
	hop     = 256             // samples from frame to frame
	margin  = (fft - hop) / 2 // mirrored on both sides
	bins    = fft/2 + 1
	highest = Rate / 2.0 // Hz; the lowest band starts at 0
)

// Mel computes log-mel spectrograms. Its constants are computed in float64 and applied in float32.
type Mel struct {
	Bands   int64
	window  []float32 // [fft]
	filters []float32 // [Bands, bins]
}

// NewMel prepares a spectrogram of so many bands.
func NewMel(bands int64) *Mel {
	m := &Mel{Bands: bands, window: make([]float32, fft)}
	for i := range m.window { // periodic Hann
		m.window[i] = float32(0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/fft))
	}
	for _, v := range slaney(bands) {
		m.filters = append(m.filters, float32(v))
	}
	return m
}

// Filters is the matrix [Bands, 513] that makes bands of frequencies, on the CPU.
func (m *Mel) Filters(c *nn.Context) *ts.Tensor { return c.FromFloats(m.filters, m.Bands, bins) }

// Forward is ln(max(F·|rfft(w·frame)|, 1e-5)) of clips x [B,n], float32: [B,T,Bands], T = n/256. Frames are not centered;
// x is mirrored by 384 samples on both sides instead, so n must be more than that.
func (m *Mel) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	device := c.Device(x)
	window := c.ToDevice(c.FromFloats(m.window, fft), device)
	filters := c.ToDevice(m.Filters(c), device)
	x = c.Squeeze(c.Pad(c.Unsqueeze(x, 1), tensor.PadReflect, margin, margin), 1)
	frames := c.Mul(c.Unfold(x, -1, fft, hop), window)                // [B,T,fft]
	power := c.Square(c.Abs(c.Rfft(frames)))                          // [B,T,bins]
	bands := c.Linear(c.Sqrt(c.AddScalar(power, 1e-9)), filters, nil) // [B,T,Bands]
	return c.Log(c.Clamp(bands, 1e-5, math.Inf(1)))
}

// slaney is the filter bank [bands, bins] of Slaney's Auditory Toolbox: triangles between equally spaced points of a scale
// that is linear below 1 kHz and logarithmic above, each of the same area.
func slaney(bands int64) []float64 {
	points := make([]float64, bands+2) // Hz
	top := toMel(highest)
	for i := range points {
		points[i] = toHz(top * float64(i) / float64(bands+1))
	}
	out := make([]float64, 0, bands*bins)
	for i := range bands {
		left, center, right := points[i], points[i+1], points[i+2]
		for k := range bins {
			f := float64(k) * Rate / fft
			rising, falling := (f-left)/(center-left), (right-f)/(right-center)
			out = append(out, max(0, min(rising, falling))*2/(right-left))
		}
	}
	return out
}

// The scale: 3 mel per 200 Hz up to 1 kHz, which is mel 15, then 27 mel for each factor of 6.4.
const (
	bendHz  = 1000.0
	bendMel = 15.0
	perMel  = bendHz / bendMel
)

var growth = math.Log(6.4) / 27

func toMel(hz float64) float64 {
	if hz < bendHz {
		return hz / perMel
	}
	return bendMel + math.Log(hz/bendHz)/growth
}

func toHz(mel float64) float64 {
	if mel < bendMel {
		return mel * perMel
	}
	return bendHz * math.Exp(growth*(mel-bendMel))
}
