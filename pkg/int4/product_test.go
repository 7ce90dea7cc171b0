package int4

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
	"pgregory.net/rapid"
)

var (
	dynamic     = quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}
	activations = []quant.ActivationScheme{{}, dynamic, {Bits: 8, Mode: quant.StaticTensor}, {Bits: 4, Mode: quant.DynamicToken}, {Bits: 4, Mode: quant.StaticTensor}}
)

// naive is the product by pkg/quant's definition, and the sum of its terms' magnitudes.
func naive(t failer, w *weight, a quant.ActivationScheme, scale float32, x []float32) (y, size []float64) {
	for ; len(x) > 0; x = x[w.k:] {
		token := x[:w.k]
		xq, sx := make([]int16, 0), scale
		var err error
		switch a.Mode {
		case quant.DynamicToken:
			xq, sx, err = quant.QuantizeToken(token, a)
		case quant.StaticTensor:
			xq, err = quant.QuantizeStatic(token, scale, a)
		}
		if err != nil {
			t.Fatal(err)
		}
		if a.Mode != quant.ActivationNone {
			v, err := quant.LinearInt(xq, sx, w.codes, w.n, w.k, w.p, w.sch, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range v {
				y = append(y, float64(f))
			}
		}
		dense, err := quant.Dequantize(w.codes, w.n, w.k, w.p, w.sch)
		if err != nil {
			t.Fatal(err)
		}
		for r := range w.n {
			sum, mag := 0.0, 0.0
			for k := range w.k {
				v := float64(token[k])
				if a.Mode != quant.ActivationNone {
					v = float64(xq[k]) * float64(sx)
				}
				v *= float64(dense[r*w.k+k])
				sum, mag = sum+v, mag+math.Abs(v)
			}
			if a.Mode == quant.ActivationNone {
				y = append(y, sum)
			}
			size = append(size, mag)
		}
	}
	return y, size
}

func compare(got []float32, want, size []float64, tol float64) error {
	for i, v := range got {
		if d := math.Abs(float64(v) - want[i]); !(d <= tol*size[i]) {
			return fmt.Errorf("output %d is %v, want %v (off by %.2g of the terms' magnitudes)", i, v, want[i], d/size[i])
		}
	}
	return nil
}

// Every kernel against pkg/quant, over shapes, rows and kinds of activations.
func TestProducts(t *testing.T) {
	for _, kernels := range sets() {
		t.Run(kernels, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				group := rapid.SampledFrom([]int64{32, 128}).Draw(t, "group")
				n, k := rapid.Int64Range(1, 90).Draw(t, "n"), group*rapid.Int64Range(1, 9).Draw(t, "groups")
				M := rapid.Int64Range(1, 33).Draw(t, "M")
				a := rapid.SampledFrom(activations).Draw(t, "activation")
				r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
				w := newWeight(t, r, n, k, scheme(group, rapid.Bool().Draw(t, "symmetric")))
				defer w.m.Close()
				if err := w.m.SetInput(a, 1.0/64); err != nil {
					t.Fatal(err)
				}
				x, y := gaussian(r, M*k, 1), make([]float32, M*n)
				if err := w.m.Apply(kernels, x, y); err != nil {
					t.Fatal(err)
				}
				want, size := naive(t, w, a, 1.0/64, x)
				if err := compare(y, want, size, 1e-5); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// Sums as large as they get: all codes -8 or 7, all activations ±127, and a static scale that clips to -128.
func TestExtremes(t *testing.T) {
	for _, kernels := range sets() {
		for _, group := range []int64{32, 128} {
			for _, symmetric := range []bool{true, false} {
				const n = 19
				k, sch := 3*group, scheme(group, symmetric)
				for _, code := range []int16{int16(sch.QMin()), int16(sch.QMax())} {
					w := &weight{n: n, k: k, sch: sch, codes: slices.Repeat([]int16{code}, int(n*k))}
					w.p = quant.QParams{Rows: n, Groups: 3, Scale: slices.Repeat([]float32{0.5}, 3*n)}
					if !symmetric {
						w.p.ZeroPoint = make([]int32, 3*n)
						for i := range w.p.ZeroPoint {
							w.p.ZeroPoint[i] = int32(15 * (i % 2))
						}
					}
					var err error
					if w.m, err = Pack(w.codes, n, k, w.p, sch); err != nil {
						t.Fatal(err)
					}
					for _, a := range activations {
						if err := w.m.SetInput(a, 0.5); err != nil {
							t.Fatal(err)
						}
						x, y := slices.Repeat([]float32{-127}, int(2*k)), make([]float32, 2*n)
						for i := range k {
							x[i] = 1e-3
						}
						if err := w.m.Apply(kernels, x, y); err != nil {
							t.Fatal(err)
						}
						want, size := naive(t, w, a, 0.5, x)
						for i := range size {
							size[i] += 1e-30
						}
						if err := compare(y, want, size, 1e-5); err != nil {
							t.Errorf("%s g%d symmetric %v, codes %d, %v: %v", kernels, group, symmetric, code, a, err)
						}
					}
					w.m.Close()
				}
			}
		}
	}
}

// The codes, scales and sums of tokens are pkg/quant's: a one-hot weight reads each code back.
func TestActivationCodes(t *testing.T) {
	const k = 64
	r := rand.New(rand.NewPCG(4, 5))
	q, p := make([]int16, k*k), quant.QParams{Rows: k, Groups: 2, Scale: slices.Repeat([]float32{1}, 2*k)}
	for i := range k {
		q[i*k+i] = 1
	}
	m, err := Pack(q, k, k, p, scheme(32, true))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, kernels := range sets() {
		for trial := range 200 {
			x, y := gaussian(r, k, math.Exp2(float64(trial%60-30))), make([]float32, k)
			switch trial % 10 {
			case 7: // ties
				for i := range x {
					x[i] = float32(i-30) / 2
				}
				x[3] = 127
			case 8:
				x = make([]float32, k)
			case 9:
				x = gaussian(r, k, 1e-40)
			}
			a, scale := dynamic, float32(0)
			if trial%2 == 1 {
				a, scale = quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}, 0.25
			}
			if trial%20 > 9 {
				a.Bits = 4
			}
			if err := m.SetInput(a, scale); err != nil {
				t.Fatal(err)
			}
			if err := m.Apply(kernels, x, y); err != nil {
				t.Fatal(err)
			}
			codes, err := quant.QuantizeStatic(x, max(scale, quant.ScaleMin), a)
			if trial%2 == 0 {
				codes, scale, err = quant.QuantizeToken(x, a)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range codes {
				if want := float32(c) * scale; y[i] != want {
					t.Fatalf("%s, trial %d: %v is quantized to %v, want %v", kernels, trial, x[i], y[i], want)
				}
			}
		}
	}
}

// NaN and infinities in a token show in all of its outputs, and in no other token's; those of float activations only in
// what they are multiplied with.
func TestNotFinite(t *testing.T) {
	w := newWeight(t, rand.New(rand.NewPCG(6, 7)), 40, 128, scheme(32, true))
	defer w.m.Close()
	for _, kernels := range sets() {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, a := range activations {
				if err := w.m.SetInput(a, 0.25); err != nil {
					t.Fatal(err)
				}
				x, y := gaussian(rand.New(rand.NewPCG(8, 9)), 3*128, 1), make([]float32, 3*40)
				x[128+77] = float32(bad)
				if err := w.m.Apply(kernels, x, y); err != nil {
					t.Fatal(err)
				}
				for i, v := range y {
					if finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0); finite != (i/40 != 1) {
						t.Fatalf("%s %v: with %v in token 1, output %d of token %d is %v", kernels, a, bad, i%40, i/40, v)
					}
				}
			}
		}
	}
}
