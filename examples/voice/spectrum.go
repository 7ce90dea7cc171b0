package main

import (
	"math"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// windows are the lengths, in samples, of the spectra that are compared: short ones see when, long ones which pitch.
var windows = []int64{240, 960}

const floor = 1e-2 // power of one bin that is too little to compare: about -60 dB

// spectralLoss compares log-magnitude spectra of signals x and y [B, N] at several resolutions (Yamamoto et al. 2020):
// the sum over all, divided by the number of bins of one full spectrogram of the batch, times its signals.
func spectralLoss(c *nn.Context, x, y *ts.Tensor) *ts.Tensor {
	B := float64(c.Shape(x)[0])
	var loss *ts.Tensor
	for _, n := range windows {
		d := c.Mean(c.Abs(c.Sub(logPower(c, x, n), logPower(c, y, n))))
		if loss != nil {
			d = c.Add(loss, d)
		}
		loss = d
	}
	return c.MulScalar(loss, B/float64(len(windows)))
}

// logPower is the logarithm of the power of Hann windows of n samples, a quarter of it apart: x [B, N] becomes
// [B, windows, bins].
func logPower(c *nn.Context, x *ts.Tensor, n int64) *ts.Tensor {
	hann := make([]float32, n)
	for i := range hann {
		hann[i] = float32((1 - math.Cos(2*math.Pi*float64(i)/float64(n))) / 2 / math.Sqrt(float64(n)*3/8))
	}
	y := c.Mul(c.Unfold(x, 1, n, n/4), c.FromFloats(hann, n))
	power := c.Square(c.Abs(c.Rfft(y)))
	return c.MulScalar(c.Log(c.AddScalar(power, floor)), 0.5)
}
