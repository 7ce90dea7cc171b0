package calib_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/native/lattice"
	"github.com/qakd/qakd/pkg/quant"
)

// eachSet runs a test with every set of kernels that this CPU has.
func eachSet(t *testing.T, f func(t *testing.T, s lattice.Set)) {
	for _, name := range lattice.Kernels() {
		s, err := lattice.SetOf(name, 2)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { f(t, s) })
	}
}

var latticeSchemes = []quant.WeightScheme{
	{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 32},
	{Bits: 4, Granularity: quant.PerGroup, GroupSize: 32},
	{Bits: 8, Granularity: quant.PerChannel},
	{Bits: 8, Symmetric: true, Granularity: quant.PerTensor},
	{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 37},
}

func latticeOf(w []float32, n, k int64, sch quant.WeightScheme) lattice.Weight {
	rows, groups, _ := sch.ParamShape(n, k)
	return lattice.Weight{W: w, K: k, Width: n * k / (rows * groups), QMin: sch.QMin(), QMax: sch.QMax(), Symmetric: sch.Symmetric}
}

func values(seed uint64, n int64) []float32 {
	r, w := rand.New(rand.NewPCG(seed, 3)), make([]float32, n)
	for i := range w {
		w[i] = float32(r.NormFloat64() * math.Exp(r.NormFloat64()))
		if i%7 == 0 { // many ties
			w[i] = float32(r.IntN(16)-8) / 2
		}
	}
	return w
}

// Parameters and codes by a rule are those of package quant, with every set of kernels.
func TestNearestIsQuants(t *testing.T) {
	eachSet(t, func(t *testing.T, s lattice.Set) {
		for i, sch := range latticeSchemes {
			const n, k = 5, 7 * 32 * 37 / 7
			w := values(uint64(i), n*k)
			copy(w[k:2*k], make([]float32, k)) // a row of zeros
			for j := range k {
				w[2*k+j] = 0.25 // a constant one
			}
			rules := []quant.ScaleMethod{quant.AbsMax, quant.AbsMaxHalf, quant.SignedMax}
			if !sch.Symmetric {
				rules = []quant.ScaleMethod{quant.MinMax}
			}
			for _, rule := range rules {
				want, err := quant.InitQParams(w, n, k, sch, rule)
				if err != nil {
					t.Fatal(err)
				}
				got := quant.QParams{Rows: want.Rows, Groups: want.Groups, Scale: make([]float32, len(want.Scale))}
				if !sch.Symmetric {
					got.ZeroPoint = make([]int32, len(want.Scale))
				}
				codes, again := make([]byte, n*k), make([]byte, n*k)
				lw := latticeOf(w, n, k, sch)
				if at := s.Nearest(lw, lattice.Rule(rule), got.Scale, got.ZeroPoint, codes); at >= 0 {
					t.Fatalf("value %d is not finite", at)
				}
				if !slices.Equal(got.Scale, want.Scale) || !slices.Equal(got.ZeroPoint, want.ZeroPoint) {
					t.Errorf("%v by %v: parameters differ", sch, rule)
				}
				s.Codes(lw, got.Scale, got.ZeroPoint, again)
				q, err := quant.Quantize(w, n, k, want, sch)
				if err != nil {
					t.Fatal(err)
				}
				for j := range q {
					if int32(codes[j])+sch.QMin() != int32(q[j]) || codes[j] != again[j] {
						t.Fatalf("%v by %v: code %d of %v is %d and %d, want %d", sch, rule, j, w[j], int32(codes[j])+sch.QMin(), int32(again[j])+sch.QMin(), q[j])
					}
				}
			}
		}
	})
}

// What is not finite is found, wherever it is.
func TestNotFinite(t *testing.T) {
	eachSet(t, func(t *testing.T, s lattice.Set) {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, at := range []int{0, 31, 36, 73, 147} {
				w := values(1, 4*37)
				w[at] = float32(v)
				if got := s.Nearest(lattice.Weight{W: w, K: 37, Width: 37, QMin: -8, QMax: 7, Symmetric: true}, 0, make([]float32, 4), nil, nil); got != int64(at) {
					t.Errorf("%v at %d found at %d", v, at, got)
				}
			}
		}
	})
}

// The residual of a scaled weight is what package quant says.
func TestResidual(t *testing.T) {
	const n, k = 3, 96
	w, scale := values(4, n*k), make([]float32, k)
	for i := range scale {
		scale[i] = float32(math.Exp(0.3 * float64(i%5)))
	}
	eachSet(t, func(t *testing.T, s lattice.Set) {
		for _, sch := range latticeSchemes[:3] {
			scaled := make([]float32, n*k)
			for i := range scaled {
				scaled[i] = w[i] * scale[i%k]
			}
			rule := quant.MinMax
			if sch.Symmetric {
				rule = quant.AbsMaxHalf
			}
			p, err := quant.InitQParams(scaled, n, k, sch, rule)
			if err != nil {
				t.Fatal(err)
			}
			y, err := quant.FakeQuantize(scaled, n, k, p, sch)
			if err != nil {
				t.Fatal(err)
			}
			d := make([]float32, n*k)
			s.Residual(latticeOf(w, n, k, sch), lattice.Rule(rule), scale, d)
			for i := range d {
				if want := y[i]/scale[i%k] - w[i]; d[i] != want {
					t.Fatalf("%v: residual %d is %v, want %v", sch, i, d[i], want)
				}
			}
		}
	})
}

func BenchmarkNearest(b *testing.B) {
	const n, k = 6144, 2048
	w, scale, codes := values(1, n*k), make([]float32, n*k/128), make([]byte, n*k)
	for _, name := range lattice.Kernels() {
		s, err := lattice.SetOf(name, 2)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			b.SetBytes(4 * n * k)
			for b.Loop() {
				s.Nearest(lattice.Weight{W: w, K: k, Width: 128, QMin: -8, QMax: 7, Symmetric: true}, 0, scale, nil, codes)
			}
		})
	}
}
