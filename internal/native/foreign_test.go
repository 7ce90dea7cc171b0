package native_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/native/toy"
)

func newPool(t *testing.T, threads int) *native.Pool {
	t.Helper()
	p, err := native.NewPool(threads, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func random(r *rand.Rand, n int, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(std * r.NormFloat64())
	}
	return v
}

// float is a plain matrix, foreign a toy one.
func float(t *testing.T, rows, cols int, w []float32) *native.Matrix {
	t.Helper()
	var pin runtime.Pinner
	pin.Pin(&w[0])
	m, err := native.NewMatrix(native.F32, rows, cols, unsafe.Pointer(&w[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(); pin.Unpin() })
	return m
}

func foreign(t *testing.T, rows, cols int, w []float32, step int) *native.Matrix {
	t.Helper()
	m, free, err := toy.Matrix(rows, cols, w, step)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(); free() })
	return m
}

func wantNear(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= tol*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// hadamard is the Walsh–Hadamard matrix times v, by its definition: signs are parities of common bits.
func hadamard(v []float32, block int) []float32 {
	y := make([]float32, len(v))
	for at := 0; at < len(v); at += block {
		for i := range block {
			sum := 0.0
			for k := range block {
				sign := 1.0
				for b := i & k; b > 0; b &= b - 1 {
					sign = -sign
				}
				sum += sign * float64(v[at+k])
			}
			y[at+i] = float32(sum / math.Sqrt(float64(block)))
		}
	}
	return y
}

// Products of foreign matrices, with bias, transforms and prepared inputs, are those of the definition, whoever prepares.
func TestForeignProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 1))
	const rows, cols = 72, 48
	w, bias, divisor := random(r, rows*cols, 1), random(r, rows, 1), random(r, cols, 1)
	scaled, err := native.NewTransform(divisor, native.Rotation{})
	if err != nil {
		t.Fatal(err)
	}
	both, err := native.NewTransform(divisor, native.Rotation{Block: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer scaled.Close()
	defer both.Close()
	for _, threads := range []int{1, 3} {
		p := newPool(t, threads)
		for _, step := range []int{0, 16} {
			for name, how := range map[string]*native.Transform{"plain": nil, "scaled": scaled, "rotated": both} {
				for _, M := range []int{1, 5, 8, 9, 40} {
					for kind, m := range map[string]*native.Matrix{"toy": foreign(t, rows, cols, w, step), "float": float(t, rows, cols, w)} {
						x, want, y := random(r, M*cols, 1), make([]float32, M*rows), make([]float32, M*rows)
						for i := range M {
							row := slices.Clone(x[i*cols : (i+1)*cols])
							if how != nil {
								for k := range row {
									row[k] /= divisor[k]
								}
							}
							if how == both {
								row = hadamard(row, 16)
							}
							for n := range rows {
								sum := float64(bias[n])
								for k, v := range row {
									if kind == "toy" {
										v = toy.Round(v, step)
									}
									sum += float64(v) * float64(w[n*cols+k])
								}
								want[i*rows+n] = float32(sum)
							}
						}
						if err := m.SetBias(bias); err != nil {
							t.Fatal(err)
						}
						if err := m.SetTransform(how); err != nil {
							t.Fatal(err)
						}
						if err := p.Apply(m, x, y); err != nil {
							t.Fatal(err)
						}
						// A rotated number may fall on the other side of a step.
						tol := 1e-4
						if how != nil && step > 0 && kind == "toy" {
							tol = 0.3
						}
						wantNear(t, fmt.Sprintf("%d threads, step %d, %s, %s, %d rows", threads, step, name, kind, M), y, want, tol)
					}
				}
			}
		}
	}
}

const layers, width, heads, kvHeads, headDim, inner = 3, 64, 6, 3, 32, 96

// decoder is a stack whose projections each make of their weights, by name.
func decoder(t *testing.T, p *native.Pool, each func(name string, rows, cols int, w []float32) *native.Matrix) *native.Stack {
	t.Helper()
	return decoderWith(t, p, native.F32, each)
}

func decoderWith(t *testing.T, p *native.Pool, cache native.Kind, each func(name string, rows, cols int, w []float32) *native.Matrix) *native.Stack {
	t.Helper()
	return decoderIn(t, p, cache, nil, each)
}

// decoderIn has a rotated residual stream, and then gains of 1 before the projections.
func decoderIn(t *testing.T, p *native.Pool, cache native.Kind, rotation *native.Transform, each func(name string, rows, cols int, w []float32) *native.Matrix) *native.Stack {
	t.Helper()
	r := rand.New(rand.NewPCG(22, 1))
	frequency := make([]float32, headDim/2)
	for i := range frequency {
		frequency[i] = float32(math.Pow(1e4, -2*float64(i)/headDim))
	}
	s, err := native.NewStack(p, native.Shape{Layers: layers, Width: width, Heads: heads, KVHeads: kvHeads, HeadDim: headDim,
		Inner: inner, Eps: 1e-6, Frequency: frequency, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var all []native.Layer
	gain := func() []float32 {
		if rotation != nil {
			return slices.Repeat([]float32{1}, width)
		}
		return random(r, width, 1)
	}
	for range layers {
		matrix := func(name string, rows, cols int) *native.Matrix {
			return each(name, rows, cols, random(r, rows*cols, 1/math.Sqrt(float64(cols))))
		}
		all = append(all, native.Layer{
			Q: matrix("q", heads*headDim, width), K: matrix("k", kvHeads*headDim, width), V: matrix("v", kvHeads*headDim, width),
			O: matrix("o", width, heads*headDim), Gate: matrix("gate", inner, width), Up: matrix("up", inner, width),
			Down: matrix("down", width, inner), InputNorm: gain(), PostNorm: gain(),
			QNorm: random(r, headDim, 1), KNorm: random(r, headDim, 1),
		})
	}
	if err := s.Bind(all, random(r, width, 1), rotation); err != nil {
		t.Fatal(err)
	}
	return s
}

// speak reads a prompt of three sequences, more rows than a thread prepares alone, and goes on with steps.
func speak(t *testing.T, s *native.Stack) []float32 {
	t.Helper()
	r := rand.New(rand.NewPCG(23, 1))
	out := make([]float32, 3*width)
	if err := s.Prefill(random(r, 12*width, 1), []int32{7, 1, 4}, out); err != nil {
		t.Fatal(err)
	}
	all := slices.Clone(out)
	for range 4 {
		if err := s.Step(random(r, 3*width, 1), out); err != nil {
			t.Fatal(err)
		}
		all = append(all, out...)
	}
	return all
}

// A decoder of foreign matrices, alone or beside plain ones, is the plain decoder, with any number of threads.
func TestForeignDecoder(t *testing.T) {
	const fine = 1 << 20 // so small a step that rounding does not show
	plain := func(t *testing.T) func(string, int, int, []float32) *native.Matrix {
		return func(_ string, rows, cols int, w []float32) *native.Matrix { return float(t, rows, cols, w) }
	}
	want := speak(t, decoder(t, newPool(t, 1), plain(t)))
	for name, step := range map[string]func(name string) int{
		"unprepared": func(string) int { return 0 },
		"prepared":   func(string) int { return fine },
		"apart": func(name string) int {
			return map[string]int{"q": fine, "k": fine / 2, "v": fine, "gate": fine, "up": 0}[name]
		},
		"mixed": func(name string) int {
			return map[string]int{"q": -1, "k": fine, "v": -1, "gate": -1, "up": fine, "down": fine}[name]
		},
	} {
		for _, threads := range []int{1, 2, 5} {
			s := decoder(t, newPool(t, threads), func(name string, rows, cols int, w []float32) *native.Matrix {
				if n := step(name); n >= 0 {
					return foreign(t, rows, cols, w, n)
				}
				return float(t, rows, cols, w)
			})
			wantNear(t, fmt.Sprintf("%s, %d threads", name, threads), speak(t, s), want, 1e-4)
		}
	}
}

// What q, k and v read is prepared once, and what gate and up read: four times a layer.
func TestForeignPreparesOnce(t *testing.T) {
	for _, threads := range []int{1, 2} {
		s := decoder(t, newPool(t, threads), func(_ string, rows, cols int, w []float32) *native.Matrix { return foreign(t, rows, cols, w, 64) })
		out := make([]float32, 3*width)
		for _, rows := range []int{2, 3, 20} {
			before := toy.Prepared()
			if err := s.Prefill(make([]float32, (rows+2)*width), []int32{1, int32(rows), 1}, out); err != nil {
				t.Fatal(err)
			}
			want := 4 * layers * (rows + 2)
			if rows+2 <= 8 {
				want *= threads
			}
			if got := toy.Prepared() - before; got != want {
				t.Errorf("%d threads, %d rows: %d rows were prepared, want %d", threads, rows+2, got, want)
			}
		}
	}
}

// A decoder with scaled and rotated inputs, and weights that undo that, is the plain one.
func TestTransforms(t *testing.T) {
	r := rand.New(rand.NewPCG(24, 1))
	want := speak(t, decoder(t, newPool(t, 1), func(_ string, rows, cols int, w []float32) *native.Matrix { return float(t, rows, cols, w) }))
	made := map[int]*native.Transform{}
	divisors := map[int][]float32{}
	for _, cols := range []int{width, heads * headDim, inner} {
		d := random(r, cols, 0.2)
		for i := range d {
			d[i]++
		}
		tr, err := native.NewTransform(d, native.Rotation{Block: 32})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		divisors[cols], made[cols] = d, tr
	}
	for _, threads := range []int{1, 2} {
		s := decoder(t, newPool(t, threads), func(name string, rows, cols int, w []float32) *native.Matrix {
			if name == "v" { // one of a group without
				return foreign(t, rows, cols, w, 1<<20)
			}
			turned := make([]float32, 0, len(w))
			for n := range rows { // W·D·H, so that it times H·D⁻¹·x is W·x
				row := slices.Clone(w[n*cols : (n+1)*cols])
				for k := range row {
					row[k] *= divisors[cols][k]
				}
				turned = append(turned, hadamard(row, 32)...)
			}
			m := float(t, rows, cols, turned)
			if name != "k" {
				m = foreign(t, rows, cols, turned, 1<<20)
			}
			if err := m.SetTransform(made[cols]); err != nil {
				t.Fatal(err)
			}
			return m
		})
		wantNear(t, fmt.Sprint(threads, " threads"), speak(t, s), want, 1e-3)
	}
}

// Keys and values in fewer bits change states by their rounding: bf16 keeps 8 significant bits, INT8 half of 1/127 of the
// largest number of a head's row. Every set of kernels reads what it stored.
func TestCacheKinds(t *testing.T) {
	plain := func(_ string, rows, cols int, w []float32) *native.Matrix { return float(t, rows, cols, w) }
	want := speak(t, decoder(t, newPool(t, 1), plain))
	for _, kernels := range native.Kernels() {
		p, err := native.NewPool(2, kernels)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		for kind, tol := range map[native.Kind]float64{native.F32: 1e-5, native.BF16: 0.004, native.INT8: 0.01} {
			got := speak(t, decoderWith(t, p, kind, plain))
			off, all := 0.0, 0.0
			for i := range got {
				off += math.Pow(float64(got[i]-want[i]), 2)
				all += math.Pow(float64(want[i]), 2)
			}
			if rms := math.Sqrt(off / all); !(rms <= tol) {
				t.Errorf("%s, kind %d: states are off by %.2g of their size, want at most %v", kernels, kind, rms, tol)
			}
			if kind != native.F32 && slices.Equal(got, want) {
				t.Errorf("%s, kind %d: the states are those of float32 to the bit", kernels, kind)
			}
		}
	}
}

// A key that is not a number shows in the state, whatever the kind of the cache.
func TestCacheKeepsNaN(t *testing.T) {
	for _, kind := range []native.Kind{native.F32, native.BF16, native.INT8} {
		s := decoderWith(t, newPool(t, 1), kind, func(_ string, rows, cols int, w []float32) *native.Matrix { return float(t, rows, cols, w) })
		x, out := make([]float32, width), make([]float32, width)
		x[3] = float32(math.NaN())
		if err := s.Prefill(x, []int32{1}, out); err != nil {
			t.Fatal(err)
		}
		if err := s.Step(make([]float32, width), out); err != nil {
			t.Fatal(err)
		}
		if !math.IsNaN(float64(out[0])) {
			t.Errorf("kind %d: the state after a NaN is %v", kind, out[0])
		}
	}
}

// What is refused, in one line each.
func TestForeignRefusals(t *testing.T) {
	m := foreign(t, 8, 12, make([]float32, 96), 0)
	scaled, err := native.NewTransform(make([]float32, 5), native.Rotation{})
	if err != nil {
		t.Fatal(err)
	}
	defer scaled.Close()
	rotated, err := native.NewTransform(nil, native.Rotation{Block: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer rotated.Close()
	for want, f := range map[string]func() error{
		"with format <nil>":      func() error { _, err := native.Foreign(nil, 8, 12, nil); return err },
		"a Hadamard block of 20": func() error { _, err := native.NewTransform(nil, native.Rotation{Block: 20}); return err },
		"a Hadamard block of 6":  func() error { _, err := native.NewTransform(nil, native.Rotation{Block: 6}); return err },
		"3 signs for a Hadamard block of 4": func() error {
			_, err := native.NewTransform(nil, native.Rotation{Block: 4, Signs: make([]float32, 3)})
			return err
		},
		"a transform of 5 divisors":  func() error { return m.SetTransform(scaled) },
		"blocks of 8 for 12 columns": func() error { return m.SetTransform(rotated) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}
