package int8

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/native"
	_ "github.com/qakd/qakd/internal/testkit/fixedseed"
	"github.com/qakd/qakd/pkg/quant"
	"pgregory.net/rapid"
)

// failer is a test, or a trial of rapid's.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func gaussian(r *rand.Rand, n int64, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(std * r.NormFloat64())
	}
	return v
}

// weight is one with its codes and parameters.
type weight struct {
	n, k  int64
	sch   quant.WeightScheme
	p     quant.QParams
	codes []int16
	m     *Matrix
}

// newWeight has codes of the whole range, scales on the grid and, of asymmetric schemes, zero points of the whole range; code,
// where it is not nil, gives the codes instead.
func newWeight(t failer, r *rand.Rand, n, k int64, sch quant.WeightScheme, code func() int32) *weight {
	t.Helper()
	w := &weight{n: n, k: k, sch: sch, codes: make([]int16, n*k)}
	rows, groups, err := sch.ParamShape(n, k)
	if err != nil {
		t.Fatal(err)
	}
	draw := func() int32 { return sch.QMin() + r.Int32N(1<<sch.Bits) }
	if code == nil {
		code = draw
	}
	for i := range w.codes {
		w.codes[i] = int16(code())
	}
	w.p = quant.QParams{Rows: rows, Groups: groups}
	for range rows * groups {
		w.p.Scale = append(w.p.Scale, quant.RoundScale(float32(math.Exp2(6*r.Float64()-9))))
		if !sch.Symmetric {
			w.p.ZeroPoint = append(w.p.ZeroPoint, draw())
		}
	}
	words, err := quant.PackCodes(w.codes, n, k, sch)
	if err != nil {
		t.Fatal(err)
	}
	if w.m, err = FromWords(&quant.Packed{Scheme: sch, N: n, K: k, Words: words, Params: w.p}); err != nil {
		t.Fatal(err)
	}
	return w
}

// input is a way to quantize activations, with a scale where it is static.
type input struct {
	a     quant.ActivationScheme
	scale float32
}

var (
	float  = input{}
	inputs = []input{
		float, {quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}, 0}, {quant.ActivationScheme{Bits: 4, Mode: quant.DynamicToken}, 0},
		{quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}, 1. / 64}, {quant.ActivationScheme{Bits: 4, Mode: quant.StaticTensor}, 0.25},
	}
)

// naive is the product and, where the input is not quantized, the sum of its terms' magnitudes: pkg/quant's LinearInt, or
// sums in float64.
func (w *weight) naive(t failer, in input, x, bias []float32) (y, size []float64) {
	t.Helper()
	dense, err := quant.Dequantize(w.codes, w.n, w.k, w.p, w.sch)
	if err != nil {
		t.Fatal(err)
	}
	for ; len(x) > 0; x = x[w.k:] {
		token := x[:w.k]
		if in == float {
			for r := range w.n {
				sum, mag := 0.0, 0.0
				if bias != nil {
					sum, mag = float64(bias[r]), math.Abs(float64(bias[r]))
				}
				for k, v := range token {
					term := float64(v) * float64(dense[r*w.k+int64(k)])
					sum, mag = sum+term, mag+math.Abs(term)
				}
				y, size = append(y, sum), append(size, mag)
			}
			continue
		}
		q, scale, err := quant.QuantizeToken(token, in.a)
		if in.a.Mode == quant.StaticTensor {
			scale = in.scale
			q, err = quant.QuantizeStatic(token, scale, in.a)
		}
		if err != nil {
			t.Fatal(err)
		}
		v, err := quant.LinearInt(q, scale, w.codes, w.n, w.k, w.p, w.sch, bias)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range v {
			y, size = append(y, float64(f)), append(size, 0) // to the bit
		}
	}
	return y, size
}

// product is by kernels, on so many threads.
func (w *weight) product(t failer, kernels string, threads int, in input, x, bias []float32) []float32 {
	t.Helper()
	if err := w.m.SetInput(in.a, in.scale); err != nil {
		t.Fatal(err)
	}
	d, err := w.m.Native(kernels, bias)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := native.NewPool(threads, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	y := make([]float32, int64(len(x))/w.k*w.n)
	if err := p.Apply(d, x, y); err != nil {
		t.Fatal(err)
	}
	return y
}

// check holds a product to naive's: integers to the bit, floats within tol of their terms.
func (w *weight) check(t failer, kernels string, threads int, in input, x, bias []float32, tol float64) {
	t.Helper()
	want, size := w.naive(t, in, x, bias)
	for i, v := range w.product(t, kernels, threads, in, x, bias) {
		if d := math.Abs(float64(v) - want[i]); !(d <= tol*size[i]) {
			t.Fatalf("%s, %v [%d, %d], %v, %d threads: output %d of %d is %v, want %v", kernels, w.sch, w.n, w.k, in, threads, i, len(want), v, want[i])
		}
	}
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// scheme is any of the schemes, with a width that it fits.
func scheme(t *rapid.T) (sch quant.WeightScheme, k int64) {
	sch.Bits, sch.Symmetric = rapid.SampledFrom([]int{4, 8}).Draw(t, "bits"), rapid.Bool().Draw(t, "symmetric")
	sch.Granularity = rapid.SampledFrom([]quant.Granularity{quant.PerTensor, quant.PerChannel, quant.PerGroup}).Draw(t, "granularity")
	if sch.Granularity != quant.PerGroup {
		return sch, rapid.Int64Range(1, 300).Draw(t, "k")
	}
	sch.GroupSize = rapid.SampledFrom([]int64{1, 3, 7, 16, 20, 32, 33, 64, 128}).Draw(t, "group")
	return sch, sch.GroupSize * rapid.Int64Range(1, 6).Draw(t, "groups")
}

// Every kernel against pkg/quant: integer products to the bit, others within 1e-6 of their terms, over shapes, schemes,
// inputs, rows and threads.
func TestProducts(t *testing.T) {
	for _, kernels := range Kernels() {
		t.Run(kernels, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				sch, k := scheme(t)
				n, M := rapid.Int64Range(1, 70).Draw(t, "n"), rapid.Int64Range(1, 21).Draw(t, "M")
				r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
				w := newWeight(t, r, n, k, sch, nil)
				defer w.m.Close()
				var bias []float32
				if rapid.Bool().Draw(t, "bias") {
					bias = gaussian(r, n, 1)
				}
				in, threads := rapid.SampledFrom(inputs).Draw(t, "input"), rapid.IntRange(1, 3).Draw(t, "threads")
				w.check(t, kernels, threads, in, gaussian(r, M*k, 1), bias, 1e-6)
			})
		})
	}
}

// Codes and parameters are laid out as they are: the dense weight has the bits of pkg/quant's.
func TestLayoutIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sch, k := scheme(t)
		w := newWeight(t, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), rapid.Int64Range(1, 50).Draw(t, "n"), k, sch, nil)
		defer w.m.Close()
		want, err := quant.Dequantize(w.codes, w.n, w.k, w.p, w.sch)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.m.Dequantize()
		if err != nil || !slices.Equal(got, want) { // a zero may have either sign
			t.Fatalf("dequantized weights differ (%v)", err)
		}
	})
}

// Sums as large as they get: the ends of the range against the ends of the range, over the widest channel of a real model.
func TestExtremes(t *testing.T) {
	const n, k = 17, 12288
	r := rand.New(rand.NewPCG(3, 3))
	for _, sch := range []quant.WeightScheme{
		{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, {Bits: 8, Granularity: quant.PerChannel},
		{Bits: 8, Granularity: quant.PerTensor}, {Bits: 4, Granularity: quant.PerChannel},
	} {
		for _, code := range []int32{sch.QMin(), sch.QMax()} {
			w := newWeight(t, r, n, k, sch, func() int32 { return code })
			for i := range w.p.ZeroPoint { // as far from the codes as can be
				w.p.ZeroPoint[i] = sch.QMin() + sch.QMax() - code
			}
			words, err := quant.PackCodes(w.codes, n, k, sch)
			if err != nil {
				t.Fatal(err)
			}
			w.m.Close()
			if w.m, err = FromWords(&quant.Packed{Scheme: sch, N: n, K: k, Words: words, Params: w.p}); err != nil {
				t.Fatal(err)
			}
			for _, kernels := range Kernels() {
				for _, in := range inputs {
					x := slices.Repeat([]float32{-300}, 3*k) // -128 or -8 under a static scale
					for i := range k {
						x[i] = 300
					}
					w.check(t, kernels, 1, in, x, nil, 5e-6) // all terms err to the same side
				}
			}
			w.m.Close()
		}
	}
}

// Tokens of zeros, of subnormals, of scales near the smallest, of ties, and products with groups of zeros.
func TestZerosAndTies(t *testing.T) {
	const k = 66
	r := rand.New(rand.NewPCG(5, 5))
	for _, code := range []func() int32{nil, func() int32 { return 0 }} {
		w := newWeight(t, r, 19, k, quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 33}, code)
		x := append(make([]float32, k), gaussian(r, k, 1e-40)...)
		x = append(x, gaussian(r, k, 1e-36)...)
		for i := range k {
			x = append(x, float32(i-30)/128)
		}
		for _, kernels := range Kernels() {
			for _, in := range inputs {
				if in.a.Mode == quant.ActivationNone {
					w.check(t, kernels, 1, in, x[3*k:], nil, 1e-6)
					continue
				}
				w.check(t, kernels, 1, in, x, nil, 1e-6)
			}
		}
		w.m.Close()
	}
}

// NaN and infinities in a token show in all of its outputs, and in no other token's.
func TestNotFinite(t *testing.T) {
	const n, k = 40, 99
	w := newWeight(t, rand.New(rand.NewPCG(6, 7)), n, k, quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, func() int32 { return 3 })
	defer w.m.Close()
	for _, kernels := range Kernels() {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, in := range inputs {
				x := gaussian(rand.New(rand.NewPCG(8, 9)), 3*k, 1)
				x[k+98] = float32(bad)
				for i, v := range w.product(t, kernels, 1, in, x, nil) {
					if nan := math.IsNaN(float64(v)) || in == float && math.IsInf(float64(v), 0); nan != (i/n == 1) {
						t.Fatalf("%s %v: with %v in token 1, output %d of token %d is %v", kernels, in, bad, i%n, i/n, v)
					}
				}
			}
		}
	}
}

// The bits of a product depend neither on the number of threads nor, of quantized inputs, on the rows beside a row; matrices
// of one group share what they can of the input, and give the bits that they give alone.
func TestBits(t *testing.T) {
	const n, k, M = 150, 120, 9
	r := rand.New(rand.NewPCG(10, 11))
	sch := func(bits int, g quant.Granularity, size int64) quant.WeightScheme {
		return quant.WeightScheme{Bits: bits, Granularity: g, GroupSize: size}
	}
	var ws []*weight
	for _, s := range []quant.WeightScheme{sch(8, quant.PerChannel, 0), sch(4, quant.PerGroup, 20), sch(8, quant.PerGroup, 15)} {
		ws = append(ws, newWeight(t, r, n, k, s, nil))
	}
	x := gaussian(r, M*k, 1)
	for _, kernels := range Kernels() {
		for _, in := range inputs {
			var alone []float32
			var all []*native.Matrix
			for _, w := range ws {
				y := w.product(t, kernels, 1, in, x, nil)
				for m := int64(0); m < M && in != float; m++ {
					if one := w.product(t, kernels, 1, in, x[m*k:(m+1)*k], nil); !sameBits(one, y[m*n:(m+1)*n]) {
						t.Fatalf("%s %v %v: row %d has other bits alone", kernels, w.sch, in, m)
					}
				}
				alone = append(alone, y...)
				d, err := w.m.Native(kernels, nil)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, d)
			}
			for _, threads := range []int{1, 2, 5} {
				p, err := native.NewPool(threads, "")
				if err != nil {
					t.Fatal(err)
				}
				y := make([]float32, len(alone))
				if err := p.ApplyGroup(all, x, y); err != nil || !sameBits(y, alone) {
					t.Fatalf("%s %v, %d threads, in a group: other bits (%v)", kernels, in, threads, err)
				}
				p.Close()
			}
			for _, d := range all {
				d.Close()
			}
		}
	}
	for _, w := range ws {
		w.m.Close()
	}
}

func TestRefusals(t *testing.T) {
	g64 := quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 64}
	words := func(change func(w *quant.Packed)) func() error {
		return func() error {
			w := &quant.Packed{Scheme: g64, N: 2, K: 64, Words: make([]int32, 32), Params: quant.QParams{Rows: 2, Groups: 1, Scale: []float32{1, 1}}}
			change(w)
			_, err := FromWords(w)
			return err
		}
	}
	for want, f := range map[string]func() error{
		"does not divide":      func() error { return Supports(16, 96, g64) },
		"70000 columns share":  func() error { return Supports(1, 70000, quant.WeightScheme{Bits: 8, Granularity: quant.PerChannel}) },
		"want 4 or 8 bits":     func() error { return Supports(1, 64, quant.WeightScheme{Bits: 3}) },
		"31 words for":         words(func(w *quant.Packed) { w.Words = w.Words[1:] }),
		"1 scales":             words(func(w *quant.Packed) { w.Params.Scale = w.Params.Scale[1:] }),
		"scale [1, 0] is +Inf": words(func(w *quant.Packed) { w.Params.Scale[1] = float32(math.Inf(1)) }),
		"0 zero points for 2":  words(func(w *quant.Packed) { w.Scheme.Symmetric = false }),
		"zero point [1, 0] is 256": words(func(w *quant.Packed) {
			w.Scheme.Symmetric, w.Params.ZeroPoint = false, []int32{0, 256}
		}),
		"not on the scale grid": func() error {
			return new(Matrix).SetInput(quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}, 0.3)
		},
		"used after Close":           func() error { m := new(Matrix); m.Close(); _, err := m.Native("", nil); return err },
		`kernels "mmx", want one of`: func() error { _, err := new(Matrix).Native("mmx", nil); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
	if err := words(func(w *quant.Packed) {})(); err != nil {
		t.Error(err)
	}
}
