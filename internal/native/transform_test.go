package native_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/native"
)

// A rotation is orthonormal, symmetric and its own inverse, whatever its block; of powers of two it is the Walsh–Hadamard
// matrix by its definition, and blocks do not know one another.
func TestRotations(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	for _, block := range []int{1, 2, 8, 12, 24, 96, 64} {
		for _, signed := range []bool{false, true} {
			how := native.Rotation{Block: block}
			if signed {
				for range block {
					how.Signs = append(how.Signs, float32(1-2*r.IntN(2)))
				}
			}
			tr, err := native.NewTransform(nil, how)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			at := make([][]float32, block)
			for i := range at {
				at[i] = make([]float32, block)
				at[i][i] = 1
				if err := tr.Apply(at[i]); err != nil {
					t.Fatal(err)
				}
			}
			for i := range at {
				for j := range at {
					dot := 0.0
					for k := range at {
						dot += float64(at[i][k]) * float64(at[j][k])
					}
					want := 0.0
					if i == j {
						want = 1
					}
					if size := math.Abs(float64(at[i][j])) * math.Sqrt(float64(block)); math.Abs(dot-want) > 1e-5 || at[i][j] != at[j][i] || math.Abs(size-1) > 1e-5 {
						t.Fatalf("block %d: rows %d and %d have product %v, entry %v and %v", block, i, j, dot, at[i][j], at[j][i])
					}
				}
			}
			x := random(r, 3*block, 1)
			y := slices.Clone(x)
			if err := tr.Apply(y); err != nil {
				t.Fatal(err)
			}
			want := make([]float32, len(x))
			for i := range want {
				for k := range block {
					want[i] += at[i%block][k] * x[i/block*block+k]
				}
			}
			wantNear(t, fmt.Sprint("block ", block), y, want, 1e-5)
			if block&(block-1) == 0 && !signed {
				wantNear(t, fmt.Sprint("Walsh–Hadamard ", block), y, hadamard(x, block), 1e-5)
			}
		}
	}
}

// A decoder whose residual stream is rotated, and whose weights undo that, is the plain one; an identity
// stands for no rotation there.
func TestRotatedStream(t *testing.T) {
	none, err := native.NewTransform(nil, native.Rotation{Block: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	signs := make([]float32, width)
	for i := range signs {
		signs[i] = float32(1 - i%3%2*2)
	}
	tr, err := native.NewTransform(nil, native.Rotation{Block: width, Signs: signs})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	turn := func(row []float32) []float32 {
		y := slices.Clone(row)
		if err := tr.Apply(y); err != nil {
			t.Fatal(err)
		}
		return y
	}
	want := speak(t, decoderIn(t, newPool(t, 1), native.F32, none, func(_ string, rows, cols int, w []float32) *native.Matrix { return float(t, rows, cols, w) }))
	for _, threads := range []int{1, 2} {
		s := decoderIn(t, newPool(t, threads), native.F32, tr, func(name string, rows, cols int, w []float32) *native.Matrix {
			turned := slices.Clone(w)
			if name == "o" || name == "down" { // they write the stream: R·W
				column := make([]float32, rows)
				for k := range cols {
					for n := range rows {
						column[n] = w[n*cols+k]
					}
					for n, v := range turn(column) {
						turned[n*cols+k] = v
					}
				}
			} else {
				for n := range rows {
					copy(turned[n*cols:], turn(w[n*cols:(n+1)*cols]))
				}
			}
			return float(t, rows, cols, turned)
		})
		wantNear(t, fmt.Sprint(threads, " threads"), speak(t, s), want, 1e-3)
	}
}
