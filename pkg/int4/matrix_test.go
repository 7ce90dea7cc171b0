package int4

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	_ "github.com/qakd/qakd/internal/testkit/fixedseed"
	"github.com/qakd/qakd/pkg/quant"
	"pgregory.net/rapid"
)

func scheme(group int64, symmetric bool) quant.WeightScheme {
	return quant.WeightScheme{Bits: 4, Symmetric: symmetric, Granularity: quant.PerGroup, GroupSize: group}
}

func gaussian(r *rand.Rand, n int64, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(std * r.NormFloat64())
	}
	return v
}

// weight is a random one with its codes and parameters.
type weight struct {
	n, k  int64
	sch   quant.WeightScheme
	w     []float32
	p     quant.QParams
	codes []int16
	m     *Matrix
}

func newWeight(t failer, r *rand.Rand, n, k int64, sch quant.WeightScheme) *weight {
	t.Helper()
	w := &weight{n: n, k: k, sch: sch, w: gaussian(r, n*k, 0.05)}
	method := quant.SignedMax
	if !sch.Symmetric {
		method = quant.MinMax
	}
	var err error
	if w.p, err = quant.InitQParams(w.w, n, k, sch, method); err != nil {
		t.Fatal(err)
	}
	if w.codes, err = quant.Quantize(w.w, n, k, w.p, sch); err != nil {
		t.Fatal(err)
	}
	if w.m, err = Pack(w.codes, n, k, w.p, sch); err != nil {
		t.Fatal(err)
	}
	return w
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// Codes, scales and zero points come back as they went in, and the dense weight has the fake-quantized one's bits.
func TestLayoutIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		group := rapid.SampledFrom([]int64{32, 128}).Draw(t, "group")
		n, k := rapid.Int64Range(1, 50).Draw(t, "n"), group*rapid.Int64Range(1, 5).Draw(t, "groups")
		sch := scheme(group, rapid.Bool().Draw(t, "symmetric"))
		seed := rapid.Uint64().Draw(t, "seed")
		w := newWeight(t, rand.New(rand.NewPCG(seed, 1)), n, k, sch)
		defer w.m.Close()
		codes, err := w.m.Codes()
		if err != nil || !slices.Equal(codes, w.codes) {
			t.Fatalf("codes differ (%v)", err)
		}
		p, err := w.m.QParams()
		if err != nil || !sameBits(p.Scale, w.p.Scale) || !slices.Equal(p.ZeroPoint, w.p.ZeroPoint) {
			t.Fatalf("parameters differ (%v)", err)
		}
		want, err := quant.FakeQuantize(w.w, n, k, w.p, sch)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.m.Dequantize(); err != nil || !sameBits(got, want) {
			t.Fatalf("dequantized differs from fake-quantized (%v)", err)
		}
		size, err := Size(n, k, sch)
		if err != nil || size != int64(len(w.m.Bytes())) {
			t.Fatalf("size %d, %d bytes (%v)", size, len(w.m.Bytes()), err)
		}
		again := make([]byte, size)
		packed, err := w.m.Words()
		if err != nil {
			t.Fatal(err)
		}
		if err := Put(again, packed); err != nil || !slices.Equal(again, w.m.Bytes()) {
			t.Fatalf("laid out twice, the bytes differ (%v)", err)
		}
	})
}

// failer is a test, or a trial of rapid's.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// The layout by hand: doc.go's sentence about bytes and nibbles.
func TestLayoutByHand(t *testing.T) {
	const n, k = 18, 64
	q, p := make([]int16, n*k), quant.QParams{Rows: n, Groups: 2, Scale: make([]float32, 2*n)}
	for i := range p.Scale {
		p.Scale[i] = float32(i+1) / 64
	}
	q[17*k+32+8*2+1] = 3    // strip 1, row 1, group 1, line 2, k 1, low
	q[17*k+32+8*2+4+1] = -6 // the same byte, high
	m, err := Pack(q, n, k, p, scheme(32, true))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const block = 32 + 4*64
	b := m.Bytes()
	if len(b) != 2*2*block {
		t.Fatalf("%d bytes", len(b))
	}
	at := 2*block + block + 32 + 2*64 + 4*1 + 1
	for i, v := range b[3*block+32:] {
		want := byte(0x88)
		if i+3*block+32 == at {
			want = 0x2b
		}
		if v != want {
			t.Fatalf("byte %d of the last block's lines is %#x, want %#x", i, v, want)
		}
	}
	if h := uint16(b[3*block+2]) | uint16(b[3*block+3])<<8; h != 0x3880 { // 36/64
		t.Errorf("scale of row 17, group 1 is %#x, want 0x3880", h)
	}
	if h := uint16(b[3*block+4]) | uint16(b[3*block+5])<<8; h != 0 {
		t.Errorf("scale of a row of padding is %#x, want 0", h)
	}
}

func TestRefusals(t *testing.T) {
	g64 := scheme(64, true)
	for want, f := range map[string]func() error{
		"int4 sym g64, want int4 in groups of 32 or 128": func() error { _, err := Size(16, 64, g64); return err },
		"does not divide":      func() error { _, err := Size(16, 96, scheme(128, true)); return err },
		"3 bytes for a weight": func() error { _, err := At(make([]byte, 3), 16, 32, scheme(32, true)); return err },
		"not on the scale grid": func() error {
			return new(Matrix).SetInput(quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}, 0.3)
		},
		"activation bits 6": func() error {
			return new(Matrix).SetInput(quant.ActivationScheme{Bits: 6, Mode: quant.DynamicToken}, 0)
		},
		"used after Close":          func() error { m := new(Matrix); m.Close(); _, err := m.Dequantize(); return err },
		`kernels "mmx", want one o`: func() error { return new(Matrix).Apply("mmx", nil, nil) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}
