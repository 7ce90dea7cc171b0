package adamw_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/qakd/qakd/internal/native/adamw"
)

// form is how a parameter's parts are stored.
type form struct{ coded, gradBF16, copied, stochastic bool }

var forms = []form{
	{}, {gradBF16: true}, {copied: true}, {gradBF16: true, copied: true}, {stochastic: true}, {gradBF16: true, stochastic: true},
	{coded: true}, {coded: true, gradBF16: true}, {coded: true, copied: true}, {coded: true, gradBF16: true, copied: true},
	{coded: true, stochastic: true}, {coded: true, gradBF16: true, stochastic: true},
}

// memory is all of a parameter's.
type memory struct {
	w, g, m, v, mMax, vMax []float32
	w16, g16               []uint16
	m8, v8                 []uint8
}

func bf16(v float32) uint16 { // to the nearest, ties to even
	u := math.Float32bits(v)
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

func wide(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

func newMemory(n int, seed uint64) *memory {
	r := rand.New(rand.NewPCG(seed, 7))
	blocks := adamw.Blocks(int64(n))
	x := &memory{
		w: make([]float32, n), g: make([]float32, n), m: make([]float32, n), v: make([]float32, n), mMax: make([]float32, blocks),
		vMax: make([]float32, blocks), w16: make([]uint16, n), g16: make([]uint16, n), m8: make([]uint8, n), v8: make([]uint8, n),
	}
	for i := range n {
		x.w16[i] = bf16(float32(r.NormFloat64()))
		x.w[i] = wide(x.w16[i])
	}
	x.draw(r.Uint64())
	return x
}

// draw makes a gradient, over many magnitudes, with zeros.
func (x *memory) draw(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 8))
	for i := range x.g {
		x.g[i] = float32(r.NormFloat64() * math.Pow(10, -6*r.Float64()))
		if r.IntN(8) == 0 {
			x.g[i] = 0
		}
		x.g16[i] = bf16(x.g[i])
	}
}

// update runs one update of it in a form, at step t.
func (x *memory) update(f form, t int, set string, change ...func(p *adamw.Param)) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	at := func(p unsafe.Pointer) unsafe.Pointer { pin.Pin(p); return p }
	p := coefficients(t)
	p.N, p.Weight, p.Grad, p.GradBF16 = int64(len(x.w)), at(unsafe.Pointer(&x.w[0])), at(unsafe.Pointer(&x.g[0])), f.gradBF16
	if f.gradBF16 {
		p.Grad = at(unsafe.Pointer(&x.g16[0]))
	}
	if f.copied {
		p.Copy = at(unsafe.Pointer(&x.w16[0]))
	}
	if f.stochastic {
		p.Weight, p.Stochastic = at(unsafe.Pointer(&x.w16[0])), true
	}
	if f.coded {
		p.MCodes, p.VCodes = at(unsafe.Pointer(&x.m8[0])), at(unsafe.Pointer(&x.v8[0]))
		p.MLargest, p.VLargest = at(unsafe.Pointer(&x.mMax[0])), at(unsafe.Pointer(&x.vMax[0]))
	} else {
		p.M, p.V = at(unsafe.Pointer(&x.m[0])), at(unsafe.Pointer(&x.v[0]))
	}
	for _, c := range change {
		c(&p)
	}
	return adamw.Update([]adamw.Param{p}, set)
}

func coefficients(t int) adamw.Param {
	return adamw.Param{
		GradScale: 0.5, Keep1: 0.1, Beta2: 0.95, Keep2: 0.05, Decay: 0.999, StepSize: float32(0.01 / (1 - math.Pow(0.9, float64(t)))),
		Root2: float32(math.Sqrt(1 - math.Pow(0.95, float64(t)))), Eps: 1e-8, Key: uint64(t) * 0x123456789abcdef,
	}
}

func (x *memory) equal(y *memory) bool {
	return slices.Equal(x.w, y.w) && slices.Equal(x.w16, y.w16) && slices.Equal(x.m, y.m) && slices.Equal(x.v, y.v) &&
		slices.Equal(x.m8, y.m8) && slices.Equal(x.v8, y.v8) && slices.Equal(x.mMax, y.mMax) && slices.Equal(x.vMax, y.vMax)
}

// naive is the same update one element at a time; conversions keep compilers from fusing. Weights are those before rounding.
func (x *memory) naive(f form, t int) (m, v, w []float32) {
	c := coefficients(t)
	book, squares := adamw.Codebook(adamw.Signed), adamw.Codebook(adamw.Unsigned)
	for i := range x.w {
		mi, vi, wi, g := x.m[i], x.v[i], x.w[i], x.g[i]
		if f.coded {
			mi, vi = float32(book[x.m8[i]]*x.mMax[i/adamw.BlockSize]), float32(squares[x.v8[i]]*x.vMax[i/adamw.BlockSize])
		}
		if f.stochastic {
			wi = wide(x.w16[i])
		}
		if f.gradBF16 {
			g = wide(x.g16[i])
		}
		d := float32(g * c.GradScale)
		mi += float32(float32(d-mi) * c.Keep1)
		vi = float32(vi*c.Beta2) + float32(float32(d*d)*c.Keep2)
		root := float32(math.Sqrt(float64(vi)))
		if f.coded {
			root = float32(root * float32(1/c.Root2))
		} else {
			root = float32(root / c.Root2)
		}
		root += c.Eps
		wi = float32(wi*c.Decay) - float32(float32(mi*c.StepSize)/root)
		m, v, w = append(m, mi), append(v, vi), append(w, wi)
	}
	return m, v, w
}

// Every form, set of kernels and length equals the naive loop to the bit.
func TestUpdateEqualsNaiveLoop(t *testing.T) {
	bounds := [2][]float32{adamw.Bounds(adamw.Signed), adamw.Bounds(adamw.Unsigned)}
	for _, set := range adamw.Kernels() {
		for _, f := range forms {
			for _, n := range []int{1, 255, 263, 33_000} {
				x := newMemory(n, uint64(n))
				for k := 1; k <= 3; k++ {
					x.draw(uint64(k))
					m, v, w := x.naive(f, k)
					if err := x.update(f, k, set); err != nil {
						t.Fatal(err)
					}
					if what := x.differs(f, m, v, w, bounds); what != "" {
						t.Fatalf("%s, %+v, %d elements, step %d: %s", set, f, n, k, what)
					}
				}
			}
		}
	}
}

// differs compares with float32 results of the naive loop.
func (x *memory) differs(f form, m, v, w []float32, bounds [2][]float32) string {
	if f.coded {
		for b := range x.mMax {
			part := func(s []float32) []float32 { return s[b*adamw.BlockSize : min(len(s), (b+1)*adamw.BlockSize)] }
			mMax, vMax := float32(0), slices.Max(part(v))
			for _, mi := range part(m) {
				mMax = max(mMax, mi, -mi)
			}
			if x.mMax[b] != mMax || x.vMax[b] != vMax {
				return fmt.Sprintf("block %d: largest %g and %g, want %g and %g", b, x.mMax[b], x.vMax[b], mMax, vMax)
			}
		}
	}
	for i := range w {
		b := i / adamw.BlockSize
		switch {
		case f.coded && (x.m8[i] != nearest(m[i], x.mMax[b], 0, bounds[0]) || x.v8[i] != nearest(v[i], x.vMax[b], 1, bounds[1])):
			return fmt.Sprintf("element %d: codes %d and %d of %g and %g", i, x.m8[i], x.v8[i], m[i], v[i])
		case !f.coded && (x.m[i] != m[i] || x.v[i] != v[i]):
			return fmt.Sprintf("element %d: moments %g and %g, want %g and %g", i, x.m[i], x.v[i], m[i], v[i])
		case f.stochastic:
			if down := uint16(math.Float32bits(w[i]) >> 16); x.w16[i] != down && x.w16[i] != down+1 {
				return fmt.Sprintf("element %d: weight %g, want one of bf16 next to %g", i, wide(x.w16[i]), w[i])
			}
		case x.w[i] != w[i] || f.copied && x.w16[i] != bf16(w[i]):
			return fmt.Sprintf("element %d: weight %g and copy %g, want %g", i, x.w[i], wide(x.w16[i]), w[i])
		}
	}
	return ""
}

// Also what is random, in blocks and behind them.
func TestSetsAgree(t *testing.T) {
	for _, f := range forms {
		var want *memory
		for _, set := range adamw.Kernels() {
			x := newMemory(1000, 3)
			for k := 1; k <= 4; k++ {
				if err := x.update(f, k, set); err != nil {
					t.Fatal(err)
				}
			}
			if want == nil {
				want = x
			}
			if !x.equal(want) {
				t.Errorf("%+v: %s gives other bits than %s", f, set, adamw.Kernels()[0])
			}
		}
	}
}

// Stochastic rounding keeps the mean, within 5 standard deviations, goes to the neighbors only, and differs between keys.
func TestStochasticRounding(t *testing.T) {
	const n = 1 << 17
	rounded := func(decay float32, key uint64) []uint16 {
		x := newMemory(n, 1)
		for i := range n {
			x.w16[i], x.g[i] = bf16(1), 0
		}
		err := x.update(form{stochastic: true}, 1, "", func(p *adamw.Param) { p.Decay, p.Key = decay, key })
		if err != nil {
			t.Fatal(err)
		}
		return x.w16
	}
	for _, p := range []float64{0, 1.0 / 256, 0.25, 0.5, 0.9, 1} { // of going down from 1, below which bf16 is 2^-8 apart
		a, b := rounded(float32(1-p/256), 5), rounded(float32(1-p/256), 1<<40)
		down, both := 0.0, 0.0
		for i := range a {
			if a[i] != bf16(1) && a[i] != bf16(1)-1 {
				t.Fatalf("probability %v: %g is not next to 1", p, wide(a[i]))
			}
			down += float64(bf16(1) - a[i])
			both += float64((bf16(1) - a[i]) & (bf16(1) - b[i]))
		}
		if d := math.Abs(down/n - p); d > 5*math.Sqrt(p*(1-p)/n) {
			t.Errorf("%v of the weights went down, want %v", down/n, p)
		}
		if q := p * p; math.Abs(both/n-q) > 5*math.Sqrt(q*(1-q)/n) {
			t.Errorf("%v went down with two keys, want %v", both/n, q)
		}
	}
}

// The sum of squares equals the definition to the bit.
func TestSumSquares(t *testing.T) {
	for _, n := range []int{1, 7, 8, 4095, 4096, 4097, 4*4096 + 13, 100_003} {
		x := newMemory(n, 2)
		for i := range x.g {
			x.g[i] *= 1e20 // squares that float32 cannot hold
			x.g16[i] = bf16(x.g[i])
		}
		for _, narrow := range []bool{false, true} {
			want := 0.0
			for from := 0; from < n; from += 4096 {
				var lane [8]float64
				to := min(n, from+4096)
				for i := from; i < to; i++ {
					g, j := float64(x.g[i]), (i-from)%8
					if narrow {
						g = float64(wide(x.g16[i]))
					}
					if i-from >= (to-from)/8*8 {
						j = 0
					}
					lane[j] += float64(g * g)
				}
				part := 0.0
				for _, l := range lane {
					part += l
				}
				want += part
			}
			for _, set := range adamw.Kernels() {
				var pin runtime.Pinner
				p := adamw.Param{N: int64(n), Grad: unsafe.Pointer(&x.g[0]), GradBF16: narrow}
				if narrow {
					p.Grad = unsafe.Pointer(&x.g16[0])
				}
				pin.Pin(p.Grad)
				got, err := adamw.SumSquares([]adamw.Param{p, {}}, set)
				pin.Unpin()
				if err != nil || got[0] != want || got[1] != 0 {
					t.Errorf("%s, %d elements, bf16 %v: %v, want %v (%v)", set, n, narrow, got, want, err)
				}
			}
		}
	}
}

func TestBadParameters(t *testing.T) {
	x := make([]float32, 8)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&x[0])
	at := unsafe.Pointer(&x[0])
	moments := adamw.Moments{M: at, V: at}
	for _, c := range []struct {
		p    adamw.Param
		set  string
		want string
	}{
		{adamw.Param{N: -1, Weight: at, Grad: at, Moments: moments}, "", "-1 elements"},
		{adamw.Param{N: 8, Grad: at, Moments: moments}, "", "weight at <nil>"},
		{adamw.Param{N: 8, Weight: at, Grad: at}, "", "no moments"},
		{adamw.Param{N: 8, Weight: at, Grad: at, Moments: adamw.Moments{MCodes: at, VCodes: at}}, "", "without all of their parts"},
		{adamw.Param{N: 8, Weight: at, Grad: at, Copy: at, Stochastic: true, Moments: moments}, "", "bf16 itself"},
		{adamw.Param{}, "sse9", `kernels "sse9", want one of portable`},
	} {
		if err := adamw.Update([]adamw.Param{c.p}, c.set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want it to say %q", err, c.want)
		}
	}
}
