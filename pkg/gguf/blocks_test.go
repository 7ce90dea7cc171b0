package gguf

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// Every fp16 number goes to float32 and back; every float32 that fp16 does not hold is told apart, and rounds to the
// nearest, of two the even one.
func TestHalf(t *testing.T) {
	for bits := range 1 << 16 {
		x := Float(uint16(bits))
		if x != x {
			if _, ok := Half(x); ok {
				t.Fatalf("NaN %#x is exact", bits)
			}
			continue
		}
		if got, ok := Half(x); !ok || got != uint16(bits) {
			t.Fatalf("%#x is %v, which comes back as %#x, %v", bits, x, got, ok)
		}
		if bits&0x7fff >= 0x7bff {
			continue // the next one is infinite
		}
		next := Float(uint16(bits + 1))
		middle := x + (next-x)/2
		if _, ok := Half(middle); ok {
			t.Fatalf("%v is exact", middle)
		}
		even := bits + bits&1
		for y, want := range map[float32]int{
			middle: even, math.Nextafter32(middle, x): bits, math.Nextafter32(middle, next): bits + 1,
		} {
			if got := RoundHalf(y); got != uint16(want) {
				t.Fatalf("%v rounds to %#x, want %#x", y, got, want)
			}
		}
	}
	for x, want := range map[float32]uint16{65519: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00, float32(math.Inf(-1)): 0xfc00, 1e-30: 0} {
		if got := RoundHalf(x); got != want {
			t.Errorf("%v rounds to %#x, want %#x", x, got, want)
		}
	}
}

// Q4_0 of the golden vectors: the bytes, and the values.
func TestGoldenQ4_0(t *testing.T) {
	data, err := os.ReadFile("../quant/testdata/int4_packing_golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Q     [][]int    `json:"q_signed"`
		Scale [][]uint16 `json:"scale_fp16_bits"`
		Row   string     `json:"gguf_q4_0_bytes_hex_row0"`
	}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	var r Rows
	var want []float32
	for i, q := range g.Q[0] {
		s := Float(g.Scale[0][i/BlockSize])
		r.Codes, want = append(r.Codes, uint8(q+8)), append(want, float32(q)*s)
		if i%BlockSize == 0 {
			r.D = append(r.D, s)
		}
	}
	packed, err := Pack(Q4_0, r)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(packed); got != g.Row {
		t.Errorf("packed %s, want %s", got, g.Row)
	}
	if got, err := Dequantize(Q4_0, packed); err != nil || !slices.Equal(got, want) {
		t.Errorf("values %v (%v), want %v", got, err, want)
	}
}

func TestBlocksThereAndBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []Type{Q4_0, Q4_1, Q8_0} {
		r := Rows{Codes: make([]uint8, 5*BlockSize)}
		for i := range r.Codes {
			r.Codes[i] = uint8(rnd.IntN(256))
			if kind != Q8_0 {
				r.Codes[i] &= 15
			}
		}
		for range 5 {
			r.D = append(r.D, Float(RoundHalf(rnd.Float32())))
			if kind == Q4_1 {
				r.M = append(r.M, Float(RoundHalf(-rnd.Float32())))
			}
		}
		b, err := Pack(kind, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Unpack(kind, b)
		if err != nil || !slices.Equal(got.Codes, r.Codes) || !slices.Equal(got.D, r.D) || !slices.Equal(got.M, r.M) {
			t.Errorf("%v: %+v (%v), want %+v", kind, got, err, r)
		}
		values, _ := Dequantize(kind, b)
		for i, v := range values {
			u, d := float64(r.Codes[i]), float64(r.D[i/BlockSize])
			want := map[Type]float64{Q4_0: (u - 8) * d, Q8_0: float64(int8(r.Codes[i])) * d}[kind]
			if kind == Q4_1 {
				want = float64(float32(u*d)) + float64(r.M[i/BlockSize])
			}
			if v != float32(want) {
				t.Fatalf("%v: value %d is %v, want %v", kind, i, v, want)
			}
		}
	}
}

func TestBlocksRefuse(t *testing.T) {
	codes := make([]uint8, BlockSize)
	wide := slices.Repeat([]uint8{16}, BlockSize)
	for want, f := range map[string]func() error{
		"which fp16 does not hold exactly": func() error { _, err := Pack(Q4_0, Rows{Codes: codes, D: []float32{1.0001}}); return err },
		"offset of block 0": func() error {
			_, err := Pack(Q4_1, Rows{Codes: codes, D: []float32{1}, M: []float32{70000}})
			return err
		},
		"want 0...15":                 func() error { _, err := Pack(Q4_0, Rows{Codes: wide, D: []float32{1}}); return err },
		"want 32 codes a scale":       func() error { _, err := Pack(Q8_0, Rows{Codes: codes}); return err },
		"BF16 has no blocks":          func() error { _, err := Pack(BF16, Rows{}); return err },
		"19 bytes are no whole":       func() error { _, err := Unpack(Q4_0, make([]byte, 19)); return err },
		"F32 has no blocks that this": func() error { _, err := Dequantize(F32, nil); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
