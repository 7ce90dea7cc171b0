package optim_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"

	"github.com/qakd/qakd/internal/native/adamw"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/ckpt"
)

// goldens of bitsandbytes; see tools/golden/bnb_adamw.py.
type goldens struct {
	t   *testing.T
	src *ckpt.Reader
}

func openGoldens(t *testing.T) goldens {
	src, err := ckpt.Open("testdata/bnb_adamw.safetensors")
	must(t, err)
	t.Cleanup(func() { src.Close() })
	return goldens{t, src}
}

// codes are a copy, and so are floats.
func (g goldens) codes(name string) []uint8 {
	info, data, err := g.src.Bytes(name)
	must(g.t, err)
	if info.DType != "U8" {
		g.t.Fatalf("%s is %s", name, info.DType)
	}
	return slices.Clone(data)
}

func (g goldens) floats(name string) []float32 {
	info, data, err := g.src.Bytes(name)
	must(g.t, err)
	if info.DType != "F32" {
		g.t.Fatalf("%s is %s", name, info.DType)
	}
	out := make([]float32, len(data)/4)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&out[0])), len(data)), data)
	return out
}

func TestCodebooksAreThoseOfBitsandbytes(t *testing.T) {
	g := openGoldens(t)
	for kind, name := range []string{"signed", "unsigned"} {
		if !slices.Equal(adamw.Codebook(kind), g.floats(name)) {
			t.Errorf("the %s codebook differs", name)
		}
	}
}

// ours tells whether a difference is the one rule of our own: what is positive does not become 0.
func ours(kind int, got, want uint8, x float32) bool {
	return kind == adamw.Unsigned && want == 0 && got == 1 && x > 0
}

func TestCodesAreThoseOfBitsandbytes(t *testing.T) {
	g := openGoldens(t)
	for kind, name := range []string{"signed", "unsigned"} {
		want, kept := g.codes("x.codes."+name), 0
		for b, x := range slices.Collect(slices.Chunk(g.floats("x"), adamw.BlockSize)) {
			if kind == adamw.Unsigned {
				for i := range x {
					x[i] = float32(math.Abs(float64(x[i])))
				}
			}
			codes, largest, err := adamw.Encode(x, kind, "")
			must(t, err)
			if largest == 0 { // both give such a block the value 0, whatever its codes
				continue
			}
			for i, c := range codes {
				if w := want[b*adamw.BlockSize+i]; ours(kind, c, w, x[i]) {
					kept++
				} else if c != w {
					t.Errorf("%s, block %d: the code of %g of %g is %d, want %d", name, b, x[i], largest, c, w)
				}
			}
		}
		if (kind == adamw.Unsigned) != (kept > 0) {
			t.Errorf("%s: %d positive values were kept from becoming 0", name, kept)
		}
	}
}

// snapshot is the golden state before a step.
type snapshot struct {
	p, mMax, vMax []float32
	m, v          []uint8
}

func (g goldens) snapshot(run string, k int) snapshot {
	at := func(name string) string { return fmt.Sprintf("%s.%d.%s", run, k, name) }
	return snapshot{g.floats(at("p")), g.floats(at("mmax")), g.floats(at("vmax")), g.codes(at("m")), g.codes(at("v"))}
}

// step is one update in memory, with the numbers that the goldens were made with.
func (x snapshot) step(t *testing.T, grad []float32, k int, set string) {
	t.Helper()
	const lr, beta1, beta2, decay = 1e-2, 0.9, 0.95, 0.1
	pin := pinner{}
	defer pin.Unpin()
	c1, c2 := 1-math.Pow(beta1, float64(k)), 1-math.Pow(beta2, float64(k))
	one, two := 1-beta1, 1-beta2 // at run time: constants would not round
	p := adamw.Param{
		N: int64(len(x.p)), Weight: pin.floats(x.p), Grad: pin.floats(grad), GradScale: 1, Keep1: float32(one), Beta2: beta2,
		Keep2: float32(two), Decay: 1 - lr*decay, StepSize: float32(lr / c1), Root2: float32(math.Sqrt(c2)), Eps: 1e-8,
		Moments: adamw.Moments{MCodes: pin.bytes(x.m), VCodes: pin.bytes(x.v), MLargest: pin.floats(x.mMax), VLargest: pin.floats(x.vMax)},
	}
	must(t, adamw.Update([]adamw.Param{p}, set))
}

// Each update of AdamW8bit, from its own state: parameters and largest magnitudes to rounding, and the codes. Where its
// codes come from its default backend they are equal; those of its CPU backend are of a number up to half a step of
// 2/65535 away.
func TestUpdatesAreThoseOfBitsandbytes(t *testing.T) {
	g := openGoldens(t)
	for _, set := range adamw.Kernels() {
		for _, run := range []string{"exact", "cpu"} {
			for k := range 3 {
				x, want := g.snapshot(run, k), g.snapshot(run, k+1)
				x.step(t, g.floats(fmt.Sprintf("exact.%d.g", k)), k+1, set)
				what := fmt.Sprintf("%s, %s, step %d: ", set, run, k+1)
				testkit.Close(t, what+"parameter", x.p, want.p, 1e-7, 1e-6)
				testkit.Close(t, what+"largest m", x.mMax, want.mMax, 0, 2e-7)
				testkit.Close(t, what+"largest v", x.vMax, want.vMax, 0, 2e-7)
				reach := map[string]float64{"exact": 0, "cpu": 1.001 / 65535}[run]
				compareCodes(t, what+"m", adamw.Signed, x.m, want.m, reach)
				compareCodes(t, what+"v", adamw.Unsigned, x.v, want.v, reach)
			}
		}
	}
}

// compareCodes wants equal codes, or those of numbers within reach of each other.
func compareCodes(t *testing.T, what string, kind int, got, want []uint8, reach float64) {
	t.Helper()
	bounds := adamw.Bounds(kind)
	far, own := 0, 0
	for i := range got {
		lo, hi := min(got[i], want[i]), max(got[i], want[i])
		switch {
		case lo == hi:
		case kind == adamw.Unsigned && lo == 0 && hi == 1:
			own++ // the rule of our own
		case float64(bounds[hi-1]-bounds[lo]) > 2*reach || reach == 0:
			far++
		}
	}
	if far > 0 {
		t.Errorf("%s: %d of %d codes differ", what, far, len(got))
	}
	if kind == adamw.Unsigned && reach == 0 && own == 0 {
		t.Errorf("%s: no positive value was kept from becoming 0: the goldens have some", what)
	}
}
