package adamw_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/native/adamw"
)

// nearest is the code of x by trying all, the lower one of two at equal distances; x is divided as the kernels do.
func nearest(x, largest float32, kind int, bounds []float32) uint8 {
	if largest == 0 {
		return 0
	}
	scaled := float32(x * float32(1/max(largest, 1e-38)))
	code := 0
	for _, b := range bounds {
		if b < scaled {
			code++
		}
	}
	return uint8(code)
}

// hard are values where codes change, and their neighbors, with a 1 in each block to keep the scale.
func hard(kind int) (blocks [][]float32) {
	var all []float32
	for _, b := range adamw.Bounds(kind) {
		near := []float32{b}
		for up, down, i := b, b, 0; i < 2; i++ {
			up, down = math.Nextafter32(up, 2), math.Nextafter32(down, -2)
			near = append(near, up, down)
		}
		all = append(all, near...)
	}
	all = append(all, 1, 0, float32(math.Copysign(0, -1)), 0x1p-24, 0x1p-25, 1e-30, 1e-45, 0.995, 0.999)
	if kind == adamw.Unsigned {
		all = slices.DeleteFunc(all, func(v float32) bool { return v < 0 || math.Signbit(float64(v)) })
	} else {
		all = append(all, -1, -0.995, -0.999, -1e-30)
	}
	for part := range slices.Chunk(all, adamw.BlockSize-1) {
		blocks = append(blocks, append(slices.Clone(part), 1))
	}
	return blocks
}

func TestEncodeFindsTheNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for kind := range 2 {
		blocks := append(hard(kind), make([]float32, 256), []float32{1e-40, 3e-42, 0})
		for k := range 200 {
			b := make([]float32, 1+r.IntN(adamw.BlockSize))
			for i := range b {
				b[i] = float32(r.NormFloat64() * math.Pow(10, float64(k%12)*-r.Float64()-float64(k%5)*8))
				if kind == adamw.Unsigned {
					b[i] = float32(math.Abs(float64(b[i])))
				}
			}
			blocks = append(blocks, b)
		}
		bounds := adamw.Bounds(kind)
		for _, set := range adamw.Kernels() {
			for k, x := range blocks {
				codes, largest, err := adamw.Encode(x, kind, set)
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range x {
					if want := nearest(v, largest, kind, bounds); codes[i] != want {
						t.Fatalf("%s, kind %d, block %d: %g of %g has code %d, want %d", set, kind, k, v, largest, codes[i], want)
					}
				}
			}
		}
	}
}

func TestDecode(t *testing.T) {
	codes := make([]uint8, 256)
	for i := range codes {
		codes[i] = uint8(i)
	}
	for kind := range 2 {
		book := adamw.Codebook(kind)
		if !slices.IsSorted(book) || len(slices.Compact(slices.Clone(book))) != 256 {
			t.Errorf("the codebook of kind %d does not ascend", kind)
		}
		for _, set := range adamw.Kernels() {
			got, err := adamw.Decode(codes, 3, kind, set)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if v != book[i]*3 {
					t.Errorf("%s, kind %d: code %d is %g, want %g", set, kind, i, v, book[i]*3)
				}
			}
		}
	}
}

// A mean of squares that is not 0 must not become 0: ε alone would be left below the mean of gradients.
func TestPositiveIsNeverZero(t *testing.T) {
	for _, set := range adamw.Kernels() {
		codes, _, err := adamw.Encode([]float32{1, 1e-7, 1e-20, 1e-37, 0}, adamw.Unsigned, set)
		if err != nil {
			t.Fatal(err)
		}
		if want := []uint8{255, 1, 1, 1, 0}; !slices.Equal(codes, want) {
			t.Errorf("%s: codes %v, want %v", set, codes, want)
		}
	}
}
