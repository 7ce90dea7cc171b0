package ckpt

import "encoding/binary"

// lanes of a float dtype in a 64-bit word: the exponent's bits, and the lowest of them.
var lanes = map[string]struct {
	size          int // bytes of an element
	exponent, one uint64
}{
	"BF16": {2, 0x7f80_7f80_7f80_7f80, 0x0080_0080_0080_0080},
	"F16":  {2, 0x7c00_7c00_7c00_7c00, 0x0400_0400_0400_0400},
	"F32":  {4, 0x7f80_0000_7f80_0000, 0x0080_0000_0080_0000},
	"F64":  {8, 0x7ff0_0000_0000_0000, 0x0010_0000_0000_0000},
}

// NonFinite is the index of the first NaN or infinity in little-endian elements of dtype, or -1. Integers have none. It
// reads memory about as fast as it comes: a value is not finite if its exponent is all ones, and adding one to the
// exponents of a whole word then carries into the sign bits, which the mask has cleared.
func NonFinite(dtype string, data []byte) int64 {
	l, ok := lanes[dtype]
	if !ok {
		return -1
	}
	sign := l.exponent + l.one
	at := 0
	for ; at+64 <= len(data); at += 64 {
		p := data[at : at+64 : at+64]
		var carry uint64
		for i := 0; i < 64; i += 16 {
			carry |= binary.LittleEndian.Uint64(p[i:])&l.exponent + l.one
			carry |= binary.LittleEndian.Uint64(p[i+8:])&l.exponent + l.one
		}
		if carry&sign != 0 {
			break
		}
	}
	for ; at+l.size <= len(data); at += l.size {
		var word [8]byte
		copy(word[:], data[at:at+l.size])
		if (binary.LittleEndian.Uint64(word[:])&l.exponent+l.one)&sign != 0 {
			return int64(at / l.size)
		}
	}
	return -1
}
