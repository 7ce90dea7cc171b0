package native

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func pool(t *testing.T, threads int, kernels string) *Pool {
	t.Helper()
	p, err := NewPool(threads, kernels)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func normal(r *rand.Rand, n int, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(std * r.NormFloat64())
	}
	return v
}

func bits(v []float32) []uint16 {
	h := make([]uint16, len(v))
	for i, x := range v {
		h[i] = uint16(math.Float32bits(x) >> 16)
	}
	return h
}

// matrix keeps data where it is until the test ends.
func matrix[E float32 | uint16](t *testing.T, rows, cols int, data []E) *Matrix {
	t.Helper()
	kind := F32
	if unsafe.Sizeof(data[0]) == 2 {
		kind = BF16
	}
	var pin runtime.Pinner
	pin.Pin(&data[0])
	m, err := NewMatrix(kind, rows, cols, unsafe.Pointer(&data[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(); pin.Unpin() })
	return m
}

func apply(t *testing.T, p *Pool, m *Matrix, x []float32) []float32 {
	t.Helper()
	y := make([]float32, len(x)/int(m.c.cols)*int(m.c.rows))
	if err := p.Apply(m, x, y); err != nil {
		t.Fatal(err)
	}
	return y
}

func wantProduct(t *testing.T, what string, y, x []float32, weight func(i int) float64, cols int, bias []float32, tol float64) {
	t.Helper()
	rows := len(y) / (len(x) / cols)
	for at, got := range y {
		m, r := at/rows, at%rows
		want, size := 0.0, 0.0
		for k := range cols {
			w := weight(r*cols+k) * float64(x[m*cols+k])
			want, size = want+w, size+math.Abs(w)
		}
		if bias != nil {
			want += float64(bias[r])
		}
		if d := math.Abs(float64(got) - want); !(d <= tol*(1+size)) {
			t.Fatalf("%s: y[%d][%d] is %v, want %v", what, m, r, got, want)
		}
	}
}

// Products of all kernels, kinds, sizes and numbers of rows are those of a loop in float64.
func TestProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i, kernels := range Kernels() {
		p := pool(t, 1+i%2, kernels)
		for _, size := range [][2]int{{1, 1}, {3, 7}, {17, 33}, {40, 72}, {65, 128}, {37, 257}, {24, 3200}} {
			rows, cols := size[0], size[1]
			data, bias := normal(r, rows*cols, 0.3), normal(r, rows, 1)
			half := bits(data)
			f32, bf16 := matrix(t, rows, cols, data), matrix(t, rows, cols, half)
			if err := bf16.SetBias(bias); err != nil {
				t.Fatal(err)
			}
			for _, M := range []int{1, 2, 3, 5, 8, 19, 50} {
				x := normal(r, M*cols, 1)
				what := fmt.Sprintf("%s %d×%d, %d rows", kernels, rows, cols, M)
				wantProduct(t, what+" f32", apply(t, p, f32, x), x, func(i int) float64 { return float64(data[i]) }, cols, nil, 1e-6)
				tol := 1e-6
				if kernels == "avx512bf16" && M >= 16 {
					tol = 1.0 / 256 // half a unit in the last place of x
				}
				wantProduct(t, what+" bf16", apply(t, p, bf16, x), x, func(i int) float64 {
					return float64(math.Float32frombits(uint32(half[i]) << 16))
				}, cols, bias, tol)
			}
		}
	}
}

// awkward are bf16 weights with outliers, zeros of both signs, tiny numbers, denormals and rows of these.
func awkward(r *rand.Rand, rows, cols int) []uint16 {
	v := normal(r, rows*cols, 0.02)
	for i := range v {
		switch row := i / cols; {
		case row == 1:
			v[i] = 0
		case row == 2 && i%10 == 0:
			v[i] = float32(1e-39 * r.NormFloat64())
		case row == 3:
			v[i] *= 1e36
		case i%391 == 0:
			v[i] *= 1e-6
		case i%577 == 0:
			v[i] = float32(math.Copysign(0, -1))
		case row == 4 && i%300 == 5:
			v[i] *= 5000
		}
	}
	return bits(v)
}

// Packed weights are the same numbers: one-hot inputs read each of them back.
func TestPackedIsExact(t *testing.T) {
	for _, kernels := range Kernels() {
		p := pool(t, 2, kernels)
		const rows, cols = 21, 384
		half := awkward(rand.New(rand.NewPCG(3, 4)), rows, cols)
		m := matrix(t, rows, cols, half)
		done, err := m.Pack(p)
		if err != nil || done != strings.HasPrefix(kernels, "avx512") || done != (m.Packed() > 0) {
			t.Fatalf("%s: packed %v, %d bytes, error %v", kernels, done, m.Packed(), err)
		}
		for k := 0; k < cols; k += 3 {
			x := make([]float32, 3*cols) // three rows at once
			for j := range 3 {
				x[j*cols+k+j] = 1
			}
			for at, got := range apply(t, p, m, x) {
				j, r := at/rows, at%rows
				if want := math.Float32frombits(uint32(half[r*cols+k+j]) << 16); got != want {
					t.Fatalf("%s: weight %d of row %d reads as %v, want %v", kernels, k+j, r, got, want)
				}
			}
		}
	}
}

// Packed products equal plain ones, for one row to four; more rows take the plain way.
func TestPackedProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const rows, cols = 70, 1024
	half := bits(normal(r, rows*cols, 0.02))
	for _, kernels := range Kernels() {
		p := pool(t, 2, kernels)
		plain, packed := matrix(t, rows, cols, half), matrix(t, rows, cols, half)
		if _, err := packed.Pack(p); err != nil {
			t.Fatal(err)
		}
		for M := 1; M <= 6; M++ {
			x := normal(r, M*cols, 1)
			a, b := apply(t, p, plain, x), apply(t, p, packed, x)
			for i := range a {
				if math.Abs(float64(a[i]-b[i])) > 1e-6*(1+math.Abs(float64(a[i]))) {
					t.Fatalf("%s, %d rows: %v packed, %v plain", kernels, M, b[i], a[i])
				}
			}
		}
	}
}

// What does not lend itself to packing is left as it is.
func TestPackRefuses(t *testing.T) {
	p := pool(t, 2, "")
	r := rand.New(rand.NewPCG(7, 8))
	spread := make([]uint16, 4*128) // exponents all over
	for i := range spread {
		spread[i] = uint16(r.IntN(0x7f00))
	}
	infinite := bits(normal(r, 4*128, 1))
	infinite[200] = 0x7f80
	for name, m := range map[string]*Matrix{
		"float32":        matrix(t, 4, 128, normal(r, 4*128, 1)),
		"width":          matrix(t, 4, 96, bits(normal(r, 4*96, 1))),
		"many exponents": matrix(t, 4, 128, spread),
		"infinite":       matrix(t, 4, 128, infinite),
	} {
		if done, err := m.Pack(p); done || err != nil || m.Packed() != 0 {
			t.Errorf("%s: packed %v, error %v, want neither", name, done, err)
		}
	}
}

// The same bits whatever the number of threads, also of more than the machine has.
func TestThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const rows, cols = 333, 200
	m := matrix(t, rows, cols, normal(r, rows*cols, 1))
	x := normal(r, 2*cols, 1)
	want := apply(t, pool(t, 1, ""), m, x)
	for _, threads := range []int{2, 3, 8} {
		p := pool(t, threads, "")
		for range 50 {
			if !slices.Equal(apply(t, p, m, x), want) {
				t.Fatalf("%d threads compute other bits", threads)
			}
		}
	}
}

// Threads without work sleep.
func TestIdle(t *testing.T) {
	p := pool(t, 4, "")
	m := matrix(t, 64, 64, make([]float32, 64*64))
	apply(t, p, m, make([]float32, 64))
	time.Sleep(20 * time.Millisecond)
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	time.Sleep(100 * time.Millisecond)
	if d := used() - before; d > 50*time.Millisecond {
		t.Errorf("an idle pool of 4 used %v of CPU time in 100 ms", d)
	}
}

func TestBadArguments(t *testing.T) {
	p := pool(t, 1, "")
	data := make([]float32, 12)
	m := matrix(t, 3, 4, data)
	closed, err := NewPool(1, "")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	closed.Close()
	for want, f := range map[string]func() error{
		`kernels "sse9", want one of portable`: func() error { _, err := NewPool(1, "sse9"); return err },
		"0 threads, want 1 to":                 func() error { _, err := NewPool(0, ""); return err },
		"matrix 0×4":                           func() error { _, err := NewMatrix(F32, 0, 4, unsafe.Pointer(&data[0])); return err },
		"at <nil>":                             func() error { _, err := NewMatrix(F32, 3, 4, nil); return err },
		"a bias of 2 for 3 rows":               func() error { return m.SetBias(make([]float32, 2)) },
		"5 values to 3 through a matrix 3×4":   func() error { return p.Apply(m, make([]float32, 5), make([]float32, 3)) },
		"used after Close":                     func() error { return closed.Apply(m, make([]float32, 4), make([]float32, 3)) },
		"head size 3": func() error {
			_, err := NewStack(p, Shape{1, 4, 2, 1, 3, 4, 1e-6, make([]float32, 1), F32})
			return err
		},
		"layers 0": func() error {
			_, err := NewStack(p, Shape{0, 4, 2, 1, 2, 4, 1e-6, make([]float32, 1), F32})
			return err
		},
		"no scores": func() error {
			_, err := Draw(nil, Sampling{}, 0)
			return err
		},
		"logit 1 is not a finite number": func() error {
			_, err := Draw([]float32{1, float32(math.Inf(1))}, Sampling{}, 0)
			return err
		},
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}
