package quant_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
	"pgregory.net/rapid"
)

// golden are vectors made by the compressed-tensors library (0.20.0).
type golden struct {
	N, K, Group int64
	Q           [][]int16 `json:"q_signed"`
	Zero        [][]int32 `json:"zp_signed"`
	Packed      [][]int32 `json:"ct_weight_packed"`
	PackedZero  [][]int32 `json:"ct_weight_zero_point"`
}

func TestPackGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/int4_packing_golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	sym := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: g.Group}
	asym := sym
	asym.Symmetric = false
	q, want := slices.Concat(g.Q...), slices.Concat(g.Packed...)
	unsigned := make([]int16, len(q)) // our asymmetric codes are the library's plus 8
	for i, c := range q {
		unsigned[i] = c + 8
	}
	for _, c := range []struct {
		sch quant.WeightScheme
		q   []int16
	}{{sym, q}, {asym, unsigned}} {
		words, err := quant.PackCodes(c.q, g.N, g.K, c.sch)
		if err != nil || len(want) != 128 || !slices.Equal(words, want) {
			t.Errorf("%v: words differ from the library's (%v)", c.sch, err)
		}
		back, err := quant.UnpackCodes(want, g.N, g.K, c.sch)
		if err != nil || !slices.Equal(back, c.q) {
			t.Errorf("%v: codes differ from the library's (%v)", c.sch, err)
		}
	}
	zero := slices.Concat(g.Zero...)
	for i := range zero {
		zero[i] += 8
	}
	groups, wantZero := g.K/g.Group, slices.Concat(g.PackedZero...)
	words, err := quant.PackZeroPoints(zero, g.N, groups, asym)
	if err != nil || len(wantZero) != 4 || !slices.Equal(words, wantZero) {
		t.Errorf("zero points %v, want %v (%v)", words, wantZero, err)
	}
	if back, err := quant.UnpackZeroPoints(wantZero, g.N, groups, asym); err != nil || !slices.Equal(back, zero) {
		t.Errorf("unpacked zero points %v, want %v (%v)", back, zero, err)
	}
}

// By hand: 9 columns take two words, the second padded with 0; 8-bit codes take four to a word.
func TestPackByHand(t *testing.T) {
	words, err := quant.PackCodes([]int16{-8, -7, -6, -5, -4, -3, -2, -1, 7}, 1, 9, channel4)
	if err != nil || !slices.Equal(words, []int32{0x76543210, 0xf}) {
		t.Errorf("words %x, %v", words, err)
	}
	words, err = quant.PackCodes([]int16{-128, -127, 0, 127, 1}, 1, 5, quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel})
	if err != nil || !slices.Equal(words, []int32{-0x7fff00, 0x81}) { // 0xff800100
		t.Errorf("words %x, %v", words, err)
	}
}

func TestPackErrors(t *testing.T) {
	if _, err := quant.PackCodes([]int16{0, 8}, 1, 2, channel4); err == nil || err.Error() != "quant: code [0, 1] is 8, want -8...7" {
		t.Errorf("code 8: %v", err)
	}
	if _, err := quant.PackCodes([]int16{0}, 1, 2, channel4); err == nil {
		t.Error("too few codes")
	}
	if _, err := quant.UnpackCodes([]int32{0, 0}, 1, 8, channel4); err == nil {
		t.Error("too many words")
	}
	if _, err := quant.PackZeroPoints([]int32{16}, 1, 1, asym4); err == nil {
		t.Error("zero point 16")
	}
	if _, err := quant.UnpackZeroPoints([]int32{0}, 9, 1, asym4); err == nil {
		t.Error("too few zero-point words")
	}
}

func TestPackUnpack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, n, k, p, sch := draw(t)
		q, err := quant.Quantize(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := quant.Pack(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		back, err := packed.Codes()
		if err != nil || !slices.Equal(back, q) {
			t.Fatalf("codes changed in packing (%v)", err)
		}
		fake, err := quant.FakeQuantize(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		dense, err := packed.Dequantize()
		if err != nil {
			t.Fatal(err)
		}
		for i := range fake {
			if math.Float32bits(fake[i]) != math.Float32bits(dense[i]) {
				t.Fatalf("value %d: fake quantized %v, unpacked %v", i, fake[i], dense[i])
			}
		}
		if !sch.Symmetric {
			words, err := quant.PackZeroPoints(p.ZeroPoint, p.Rows, p.Groups, sch)
			if err != nil {
				t.Fatal(err)
			}
			z, err := quant.UnpackZeroPoints(words, p.Rows, p.Groups, sch)
			if err != nil || !slices.Equal(z, p.ZeroPoint) {
				t.Fatalf("zero points %v, want %v (%v)", z, p.ZeroPoint, err)
			}
		}
	})
}
