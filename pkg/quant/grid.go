package quant

import "math"

// The ends of the scale grid, both on it.
const (
	ScaleMin float32 = 1.0 / (1 << 14) // the smallest normal fp16
	ScaleMax float32 = 65280           // 255 * 2^8, the largest bf16 that fp16 (up to 65504) can hold
)

// RoundScale rounds x to the scale grid: to 8 significant bits, half to even, then into [ScaleMin, ScaleMax]. Zero,
// negative numbers and subnormals become ScaleMin; NaN stays NaN, so that a broken training run is seen.
//
// The tensor form is clamp(bfloat16(x), ScaleMin, ScaleMax): bf16's own rounding is the same one.
func RoundScale(x float32) float32 {
	if x != x {
		return x
	}
	if x <= ScaleMin {
		return ScaleMin
	}
	if x >= ScaleMax {
		return ScaleMax
	}
	b := math.Float32bits(x)
	b += 0x7fff + b>>16&1 // half to even; a carry moves into the exponent, which is right
	return math.Float32frombits(b &^ 0xffff)
}

// OnGrid tells whether x is a scale that fp16 and bf16 both hold exactly.
func OnGrid(x float32) bool { return x == x && RoundScale(x) == x }
