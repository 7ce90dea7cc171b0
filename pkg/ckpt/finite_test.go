package ckpt_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
)

// TestNonFinite puts each kind of odd value at every place of a block and its rest.
func TestNonFinite(t *testing.T) {
	inf, nan, largest := math.Inf(-1), math.NaN(), math.MaxFloat64
	tests := map[string]struct {
		size      int
		odd, even []uint64 // not finite; finite, with as many exponent bits as there are
	}{
		"BF16": {2, []uint64{0x7f80, 0xff80, 0x7fc0, 0xff81, 0xffff}, []uint64{0x7f7f, 0xff7f, 0x8000, 0x007f, 0x0001}},
		"F16":  {2, []uint64{0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff}, []uint64{0x7bff, 0xfbff, 0x8000, 0x03ff, 0x3c00}},
		"F32":  {4, []uint64{0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001}, []uint64{0x7f7fffff, 0xff7fffff, 0x80000000, 0x7f000000}},
		"F64":  {8, []uint64{math.Float64bits(inf), math.Float64bits(nan)}, []uint64{math.Float64bits(largest), 1 << 63, 1}},
	}
	for dtype, tt := range tests {
		for n := range 80 {
			data := make([]byte, 0, 8*n)
			put := func(i int, v uint64) { // the low bytes of v
				var word [8]byte
				binary.LittleEndian.PutUint64(word[:], v)
				copy(data[i*tt.size:], word[:tt.size])
			}
			data = data[:n*tt.size]
			for i := range n {
				put(i, tt.even[i%len(tt.even)])
			}
			if at := ckpt.NonFinite(dtype, data); at != -1 {
				t.Fatalf("%s: %d finite numbers: found one at %d", dtype, n, at)
			}
			for i := range n {
				put(i, tt.odd[i%len(tt.odd)])
				if at := ckpt.NonFinite(dtype, data); at != int64(i) {
					t.Fatalf("%s: number %d of %d is not finite, found %d", dtype, i, n, at)
				}
				put(i, 0)
			}
		}
	}
	if at := ckpt.NonFinite("I32", []byte{0xff, 0xff, 0xff, 0xff}); at != -1 {
		t.Errorf("integers: %d", at)
	}
}

func BenchmarkNonFinite(b *testing.B) {
	data := make([]byte, 1<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		ckpt.NonFinite("BF16", data)
	}
}
