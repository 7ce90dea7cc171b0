package gguf

import "math"

// Half is x as fp16 bits; ok is false where fp16 does not hold x exactly (NaN is not held).
func Half(x float32) (bits uint16, ok bool) {
	bits = roundHalf(x)
	return bits, Float(bits) == x
}

// RoundHalf is the fp16 nearest to x, half to even, for weights that a format wants in fp16.
func RoundHalf(x float32) uint16 { return roundHalf(x) }

func roundHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	switch a := b & 0x7fff_ffff; {
	case a > 0x7f80_0000:
		return sign | 0x7e00 // NaN
	case a >= 0x477f_f000: // 65520, from where rounding leads to infinity
		return sign | 0x7c00
	case a >= 0x3880_0000: // 2^-14: normal
		a += 0xfff + a>>13&1 // half to even; a carry moves into the exponent, which is right
		return sign | uint16((a-0x3800_0000)>>13)
	case a >= 0x3300_0000: // 2^-25: subnormal, a multiple of 2^-24
		shift := 126 - a>>23
		m := a&0x7f_ffff | 0x80_0000
		half := uint32(1) << (shift - 1)
		r := m >> shift
		if rest := m & (1<<shift - 1); rest > half || rest == half && r&1 == 1 {
			r++
		}
		return sign | uint16(r)
	}
	return sign
}

// Float is the value of fp16 bits.
func Float(bits uint16) float32 {
	sign, e, m := uint32(bits&0x8000)<<16, uint32(bits>>10&31), uint32(bits&0x3ff)
	switch {
	case e == 31:
		return math.Float32frombits(sign | 0x7f80_0000 | m<<13)
	case e == 0:
		x := float32(m) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(x))
	}
	return math.Float32frombits(sign | (e+112)<<23 | m<<13)
}
