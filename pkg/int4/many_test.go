package int4

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
)

// Numbers of rows around the blocks of all kernels, and around the rows that go together.
var manyRows = []int64{9, 12, 13, 16, 17, 31, 32, 33, 97, 130, 300}

// Many rows against pkg/quant: columns that are no multiple of 64, rows of w that are none of 16.
func TestManyRows(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, kernels := range sets() {
		for i, M := range manyRows {
			group := []int64{32, 128}[i%2]
			n, k := 1+r.Int64N(50), group*(1+r.Int64N(5))
			if group == 32 {
				k += 32 * (k / 32 % 2) // odd numbers of groups
				k += 32
			}
			w := newWeight(t, r, n, k, scheme(group, r.IntN(2) == 0))
			x, y := gaussian(r, M*k, 1), make([]float32, M*n)
			for _, a := range []quant.ActivationScheme{{}, dynamic, {Bits: 8, Mode: quant.StaticTensor}} {
				if err := w.m.SetInput(a, 1.0/64); err != nil {
					t.Fatal(err)
				}
				if err := w.m.Apply(kernels, x, y); err != nil {
					t.Fatal(err)
				}
				want, size := naive(t, w, a, 1.0/64, x)
				if err := compare(y, want, size, 1e-5); err != nil {
					t.Errorf("%s, %d rows through [%d, %d] %v, %v: %v", kernels, M, n, k, w.sch, a, err)
				}
			}
			w.m.Close()
		}
	}
}

// With all scales 1 and tokens of whole numbers up to 127, outputs are the integer sums, which have to be exact: of random
// codes, and as large as they get in 6144 columns.
func TestManySumsAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, kernels := range sets() {
		for _, sch := range []quant.WeightScheme{scheme(32, true), scheme(32, false), scheme(128, true), scheme(128, false)} {
			for _, c := range []struct{ n, k, M int64 }{{35, 384, 21}, {17, 6144, 10}} {
				q := make([]int16, c.n*c.k)
				p := quant.QParams{Rows: c.n, Groups: c.k / sch.GroupSize, Scale: slices.Repeat([]float32{1}, int(c.n*c.k/sch.GroupSize))}
				if !sch.Symmetric {
					p.ZeroPoint = make([]int32, len(p.Scale))
				}
				x := make([]float32, c.M*c.k)
				for i := range q {
					q[i] = int16(sch.QMin()) + int16(r.IntN(16))
					if c.k == 6144 {
						q[i] = int16(sch.QMin())
					}
				}
				for i := range p.ZeroPoint {
					p.ZeroPoint[i] = int32(r.IntN(16))
					if c.k == 6144 {
						p.ZeroPoint[i] = 15
					}
				}
				for i := range x {
					x[i] = float32(r.IntN(255) - 127)
					if c.k == 6144 || int64(i)%c.k == 5 {
						x[i] = 127 * float32(1-2*(int64(i)/c.k%2))
					}
				}
				m, err := Pack(q, c.n, c.k, p, sch)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.SetInput(dynamic, 0); err != nil {
					t.Fatal(err)
				}
				y := make([]float32, c.M*c.n)
				if err := m.Apply(kernels, x, y); err != nil {
					t.Fatal(err)
				}
				for i, v := range y {
					token, row, sum := int64(i)/c.n, int64(i)%c.n, int64(0)
					for k := range c.k {
						z := int64(0)
						if p.ZeroPoint != nil {
							z = int64(p.ZeroPoint[(row*c.k+k)/sch.GroupSize])
						}
						sum += int64(x[token*c.k+k]) * (int64(q[row*c.k+k]) - z)
					}
					if float64(v) != float64(sum) {
						t.Fatalf("%s %v [%d, %d], row %d of token %d: %v, want %d", kernels, sch, c.n, c.k, row, token, v, sum)
					}
				}
				m.Close()
			}
		}
	}
}

// A token's outputs of W4A8 have the same bits alone, among few and among many.
func TestManyHaveTheBitsOfOne(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, kernels := range sets() {
		for _, sch := range []quant.WeightScheme{scheme(32, true), scheme(32, false), scheme(128, true), scheme(128, false)} {
			const n, k, M = 50, 640, 37
			w := newWeight(t, r, n, k, sch)
			if err := w.m.SetInput(dynamic, 0); err != nil {
				t.Fatal(err)
			}
			x, y := gaussian(r, M*k, 1), make([]float32, M*n)
			if err := w.m.Apply(kernels, x, y); err != nil {
				t.Fatal(err)
			}
			for _, rows := range []int{1, 7, 9} {
				some := make([]float32, rows*n)
				if err := w.m.Apply(kernels, x[:rows*k], some); err != nil {
					t.Fatal(err)
				}
				if !sameBits(some, y[:rows*n]) {
					t.Errorf("%s %v: %d rows have other bits than among %d", kernels, sch, rows, M)
				}
			}
			w.m.Close()
		}
	}
}

// A token that is not finite shows in its own outputs and nowhere else.
func TestManyNotFinite(t *testing.T) {
	const n, k, M, bad = 40, 128, 35, 11
	w := newWeight(t, rand.New(rand.NewPCG(17, 18)), n, k, scheme(32, true))
	defer w.m.Close()
	for _, kernels := range sets() {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, a := range []quant.ActivationScheme{{}, dynamic, {Bits: 8, Mode: quant.StaticTensor}} {
				if err := w.m.SetInput(a, 0.25); err != nil {
					t.Fatal(err)
				}
				x, y := gaussian(rand.New(rand.NewPCG(19, 20)), M*k, 1), make([]float32, M*n)
				x[bad*k+77] = float32(v)
				if err := w.m.Apply(kernels, x, y); err != nil {
					t.Fatal(err)
				}
				for i, v := range y {
					if finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0); finite != (i/n != bad) {
						t.Fatalf("%s %v: output %d of token %d is %v, token %d is not finite", kernels, a, i%n, i/n, v, bad)
					}
				}
			}
		}
	}
}

// Scales that the grid does not have, but fp16 has: 0, and subnormal ones.
func TestStrangeScales(t *testing.T) {
	const n, k = 20, 96
	w := newWeight(t, rand.New(rand.NewPCG(21, 22)), n, k, scheme(32, true))
	defer w.m.Close()
	block := len(w.m.Bytes()) / 2 / 3 // two strips of three groups
	half := map[int]uint16{0: 0, 1: 1, 2: 0x3ff, 3: 0x8001}
	value := map[int]float64{0: 0, 1: 0x1p-24, 2: 1023 * 0x1p-24, 3: -0x1p-24}
	for row, h := range half {
		for g := range 3 {
			binary.LittleEndian.PutUint16(w.m.Bytes()[g*block+2*row:], h)
		}
	}
	for _, kernels := range sets() {
		for _, M := range []int{2, 20} {
			for _, a := range []quant.ActivationScheme{{}, dynamic} {
				if err := w.m.SetInput(a, 0); err != nil {
					t.Fatal(err)
				}
				x, y := make([]float32, M*k), make([]float32, M*n)
				for i := range x {
					x[i] = float32(i*7%255 - 127)
					if i%k == 0 {
						x[i] = 127
					}
				}
				if err := w.m.Apply(kernels, x, y); err != nil {
					t.Fatal(err)
				}
				for m := range M {
					for row, s := range value {
						want := 0.0
						for i := range k {
							want += float64(x[m*k+i]) * float64(w.codes[row*k+i])
						}
						if err := near(float64(y[m*n+row]), s*want); err != nil {
							t.Errorf("%s, %d rows, %v, scale %v: %v", kernels, M, a, s, err)
						}
					}
				}
			}
		}
	}
}

func near(got, want float64) error {
	if math.Abs(got-want) > 1e-5*math.Abs(want) {
		return fmt.Errorf("%v, want %v", got, want)
	}
	return nil
}
