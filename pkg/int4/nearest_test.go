package int4_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/quant"
)

// Rounding to nearest gives the bits of pkg/quant, whatever the size of the weights and the ties among them.
func TestNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][2]int64{{1, 128}, {16, 256}, {33, 384}, {100, 128}} {
		for _, group := range []int64{32, 128} {
			n, k := shape[0], shape[1]
			sch := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: group}
			w, half := make([]float32, n*k), make([]uint16, n*k)
			for i := range w {
				size := math.Ldexp(1, r.IntN(40)-30)
				switch r.IntN(4) {
				case 0:
					w[i] = float32(size * float64(r.IntN(15)-7) / 2) // ties
				case 1:
					w[i] = 0
				default:
					w[i] = float32(size * r.NormFloat64())
				}
				half[i] = uint16(math.Float32bits(w[i]) >> 16)
			}
			check(t, w, w, n, k, sch)
			for i, h := range half {
				w[i] = math.Float32frombits(uint32(h) << 16)
			}
			check(t, half, w, n, k, sch)
		}
	}
}

func check[T float32 | uint16](t *testing.T, from []T, w []float32, n, k int64, sch quant.WeightScheme) {
	t.Helper()
	p, err := quant.InitQParams(w, n, k, sch, quant.AbsMax)
	if err != nil {
		t.Fatal(err)
	}
	words, err := quant.Pack(w, n, k, p, sch)
	if err != nil {
		t.Fatal(err)
	}
	want, err := int4.FromWords(words)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	got := make([]byte, len(want.Bytes()))
	if err := int4.Nearest(got, from, n, k, sch, 2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("[%d, %d] %v from %T: other bytes than those of pkg/quant", n, k, sch, from)
	}
}

func TestNearestRefuses(t *testing.T) {
	sch := quant.DefaultWeightScheme()
	size, err := int4.Size(20, 32, sch)
	if err != nil {
		t.Fatal(err)
	}
	w := make([]float32, 20*32)
	w[18*32+5] = float32(math.NaN())
	if err := int4.Nearest(make([]byte, size), w, 20, 32, sch, 1); err == nil || !strings.Contains(err.Error(), "row 18") {
		t.Errorf("error %v, want the row", err)
	}
	if err := int4.Nearest(make([]byte, size), w[1:], 20, 32, sch, 1); err == nil {
		t.Error("a weight that is too short is taken")
	}
	sch.Symmetric = false
	size, _ = int4.Size(20, 32, sch)
	if err := int4.Nearest(make([]byte, size), w, 20, 32, sch, 1); err == nil || !strings.Contains(err.Error(), "symmetric") {
		t.Errorf("error %v, want a symmetric scheme", err)
	}
}
