package quant

import (
	"fmt"
	"math"
)

// This file is the naive form of doc.go, on slices, one value after the other. The tensor form and the packed form are
// tested against it bit for bit.

// Quantize computes the codes q of the weight w [n, k]: -8...7 or 0...15 (-128...127 or 0...255), row-major.
func Quantize(w []float32, n, k int64, p QParams, sch WeightScheme) ([]int16, error) {
	if err := p.Validate(sch, n, k); err != nil {
		return nil, err
	}
	if err := CheckFinite(w, n, k); err != nil {
		return nil, err
	}
	q := make([]int16, len(w))
	qmin, qmax := sch.QMin(), sch.QMax()
	p.each(n, k, func(j, from, to int64) {
		scale, zero := p.Scale[j], float64(p.zero(j))
		for i := from; i < to; i++ {
			q[i] = int16(clampCode(code(w[i], scale)+zero, qmin, qmax))
		}
	})
	return q, nil
}

// Dequantize is (q - z) * s in float32.
func Dequantize(q []int16, n, k int64, p QParams, sch WeightScheme) ([]float32, error) {
	if err := p.Validate(sch, n, k); err != nil {
		return nil, err
	}
	if int64(len(q)) != n*k {
		return nil, fmt.Errorf("quant: %d codes for a weight [%d, %d]", len(q), n, k)
	}
	w := make([]float32, len(q))
	p.each(n, k, func(j, from, to int64) {
		scale, zero := p.Scale[j], p.zero(j)
		for i := from; i < to; i++ {
			w[i] = float32(int32(q[i])-zero) * scale
		}
	})
	return w, nil
}

// FakeQuantize is Dequantize of Quantize: the values that the quantized layer multiplies with.
func FakeQuantize(w []float32, n, k int64, p QParams, sch WeightScheme) ([]float32, error) {
	q, err := Quantize(w, n, k, p, sch)
	if err != nil {
		return nil, err
	}
	return Dequantize(q, n, k, p, sch)
}

// minTokenScale keeps the scale of a token of zeros (or of subnormals) a normal number.
const minTokenScale float32 = 0x1p-126

// QuantizeToken computes the dynamic scale max |x| / qmax of one token and its codes.
func QuantizeToken(x []float32, a ActivationScheme) (q []int16, scale float32, err error) {
	if err := a.checkValues(x); err != nil {
		return nil, 0, err
	}
	lo, hi := span(x)
	scale = max(max(-lo, hi)/float32(a.QMax()), minTokenScale)
	return quantizeActivation(x, scale, a), scale, nil
}

// QuantizeStatic computes the codes of activations under one static scale on the grid.
func QuantizeStatic(x []float32, scale float32, a ActivationScheme) ([]int16, error) {
	if !OnGrid(scale) {
		return nil, fmt.Errorf("quant: activation scale %v is not on the scale grid", scale)
	}
	if err := a.checkValues(x); err != nil {
		return nil, err
	}
	return quantizeActivation(x, scale, a), nil
}

func (a ActivationScheme) checkValues(x []float32) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if a.Mode == ActivationNone {
		return fmt.Errorf("quant: activation mode none has no codes")
	}
	for i, v := range x {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("quant: activation %d is %v", i, v)
		}
	}
	return nil
}

func quantizeActivation(x []float32, scale float32, a ActivationScheme) []int16 {
	q := make([]int16, len(x))
	for i, v := range x {
		q[i] = int16(clampCode(code(v, scale), -a.QMax()-1, a.QMax()))
	}
	return q
}

// code is the rounded, unclamped code. The quotient is a float32; rounding it in float64 is exact.
func code(v, scale float32) float64 { return math.RoundToEven(float64(v / scale)) }

func clampCode(q float64, qmin, qmax int32) float64 { return min(max(q, float64(qmin)), float64(qmax)) }
