package nn

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// dense is D·H·D from the definitions: Walsh–Hadamard signs are parities of common bits; the matrix of size 12 is the
// second construction of Paley, from squares modulo 5 as they come out of squaring.
func dense(h Hadamard) [][]float64 {
	n, run := int(h.Block), int(h.Block)
	if n%3 == 0 {
		run = n / 12
	}
	character := func(i, j int) float64 { // of the conference matrix of size 6, whose first row and column are ones
		if i == j || i == 0 || j == 0 {
			return map[bool]float64{true: 0, false: 1}[i == j]
		}
		for k := range 5 {
			if k*k%5 == (i-j+5)%5 {
				return 1
			}
		}
		return -1
	}
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
		for j := range m[i] {
			v := float64(1 - 2*(bits.OnesCount(uint(i%run&(j%run)))%2))
			if run < n {
				a, b := i/run, j/run
				two := [][]float64{{1, 1}, {1, -1}}
				if a/2 == b/2 {
					v *= [][]float64{{1, -1}, {-1, -1}}[a%2][b%2]
				} else {
					v *= character(a/2, b/2) * two[a%2][b%2]
				}
			}
			if s := h.Signs(); s != nil {
				v *= float64(s[i] * s[j])
			}
			m[i][j] = v / math.Sqrt(float64(n))
		}
	}
	return m
}

var rotations = []Hadamard{{Block: 1}, {Block: 8}, {Block: 12}, {Block: 48}, {Block: 8, Seed: 3}, {Block: 96, Seed: 4}}

// The passes equal the product with the dense matrix, block by block, which is orthonormal and symmetric: they undo
// themselves.
func TestHadamard(t *testing.T) {
	for _, h := range rotations {
		m, n := dense(h), int(h.Block)
		for i := range m {
			for j := range m {
				dot := 0.0
				for k := range m {
					dot += m[i][k] * m[j][k]
				}
				if want := map[bool]float64{true: 1}[i == j]; math.Abs(dot-want) > 1e-12 || m[i][j] != m[j][i] {
					t.Fatalf("%v: rows %d and %d have product %v", h, i, j, dot)
				}
			}
		}
		run(t, func(c *Context) {
			x := c.Randn(3, 2*h.Block)
			in := floats(t, x)
			want := make([]float64, len(in))
			for i := range want {
				for k := range n {
					want[i] += m[i%n][k] * float64(in[i/n*n+k])
				}
			}
			y := h.Apply(c, x)
			wantClose(t, fmt.Sprint(h), floats(t, y), want, 1e-5)
			exact, narrow := h.Apply(c, c.To(c.To(x, gotch.BFloat16), gotch.Float)), h.Apply(c, c.To(x, gotch.BFloat16))
			if !c.All(c.Eq(c.To(exact, gotch.BFloat16), narrow)) {
				t.Errorf("%v: bf16 numbers are rounded more than once", h)
			}
			wantClose(t, fmt.Sprint(h, " twice"), floats(t, h.Apply(c, y)), wide(in), 1e-5)
		})
	}
	for block, width := range map[int64]int64{0: 24, 6: 24, 16: 24, 20: 40, 36: 36} {
		err := Run(func(c *Context) error { Hadamard{Block: block}.Apply(c, c.Randn(1, width)); return nil })
		if want := fmt.Sprintf("block %d does not fit width %d", block, width); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	for width, want := range map[int64]int64{1: 1, 7: 1, 6: 2, 12: 12, 80: 16, 112: 16, 144: 48, 1024: 1024, 3072: 3072, 6144: 6144} {
		if b := HadamardBlock(width); b != want || !(Hadamard{Block: b}).Fits(width) {
			t.Errorf("the largest block of width %d is %d, want %d", width, b, want)
		}
	}
	if s := (Hadamard{Block: 512, Seed: 1}).Signs(); slices.Equal(s, Hadamard{Block: 512, Seed: 2}.Signs()) || !slices.Contains(s, -1) || !slices.Contains(s, 1) {
		t.Error("signs do not depend on the seed, or are all the same")
	}
}

// What flows back through a rotation is the gradient of what flows forward.
func TestHadamardGradient(t *testing.T) {
	for _, h := range rotations[2:] {
		run(t, func(c *Context) {
			x, weights := c.Randn(2, h.Block), c.To(c.Randn(2, h.Block), gotch.Double)
			testkit.Gradients(t, 1e-4, 1e-6, func(s *tensor.Scope) *ts.Tensor {
				y := h.Apply(&Context{Scope: s}, x)
				return s.Sum(s.Mul(s.Mul(y, y), weights))
			}, testkit.Leaf{Name: "x", T: &x})
		})
	}
}
