package quant

import (
	"fmt"
	"math"
)

// MaxSQNR stands for no error at all: a number, so that reports can be written as JSON.
const MaxSQNR = 300.0

// ErrorStats compares values with their quantized form.
type ErrorStats struct {
	SQNR      float64 `json:"sqnr_db"`     // 10 log10(sum x^2 / sum (x-y)^2) in dB, within -MaxSQNR...MaxSQNR
	MaxAbsErr float64 `json:"max_abs_err"` // in the unit of the values
	CosSim    float64 `json:"cos_sim"`     // 1 when both are all zero, 0 when one is
	Clipped   float64 `json:"clipped"`     // share of values whose code had to be clamped, 0...1; set by WeightError
}

// CompareValues measures y against x. Sums are float64.
func CompareValues(x, y []float32) (ErrorStats, error) {
	if len(x) != len(y) || len(x) == 0 {
		return ErrorStats{}, fmt.Errorf("quant: comparison of %d and %d values", len(x), len(y))
	}
	var xx, yy, xy, ee, worst float64
	for i := range x {
		a, b := float64(x[i]), float64(y[i])
		xx, yy, xy, ee = xx+a*a, yy+b*b, xy+a*b, ee+(a-b)*(a-b)
		worst = max(worst, math.Abs(a-b))
	}
	s := ErrorStats{SQNR: MaxSQNR, MaxAbsErr: worst, CosSim: 1}
	if ee > 0 {
		s.SQNR = min(max(10*math.Log10(xx/ee), -MaxSQNR), MaxSQNR)
	}
	switch {
	case xx > 0 && yy > 0:
		s.CosSim = xy / math.Sqrt(xx*yy)
	case xx > 0 || yy > 0:
		s.CosSim = 0
	}
	return s, nil
}

// WeightError measures what quantization does to the weight w [n, k].
func WeightError(w []float32, n, k int64, p QParams, sch WeightScheme) (ErrorStats, error) {
	y, err := FakeQuantize(w, n, k, p, sch)
	if err != nil {
		return ErrorStats{}, err
	}
	s, err := CompareValues(w, y)
	if err != nil {
		return ErrorStats{}, err
	}
	var clipped int
	qmin, qmax := float64(sch.QMin()), float64(sch.QMax())
	p.each(n, k, func(j, from, to int64) {
		for _, v := range w[from:to] {
			if q := code(v, p.Scale[j]) + float64(p.zero(j)); q < qmin || q > qmax {
				clipped++
			}
		}
	})
	s.Clipped = float64(clipped) / float64(len(w))
	return s, nil
}
