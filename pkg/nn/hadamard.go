package nn

import (
	"math"
	"math/bits"

	"github.com/qakd/qakd/internal/rng"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Hadamard rotates the last dimension, block by block, by an orthonormal matrix D·H·D (QuaRot §3, Ashkboos et al. 2024).
// H is the Walsh–Hadamard matrix of size 2^k, or the Kronecker product of a Hadamard matrix of size 12 and that of size
// 2^k; D has random signs on its diagonal. The matrix is symmetric, so that it is its own inverse.
type Hadamard struct {
	Block int64 // 2^k or 12·2^k; it divides the width
	Seed  int64 // of the signs; 0: no signs
}

// HadamardBlock is the largest block that divides a width: the width itself where it is 2^k or 12·2^k, 1 where it is odd.
func HadamardBlock(width int64) int64 {
	twos := width & -width
	if twos >= 4 && width%3 == 0 {
		return 3 * twos
	}
	return twos
}

// Visit shows nothing: the rotation has no parameters.
func (Hadamard) Visit(Visitor) {}

// Fits tells whether the rotation is one of inputs of this width.
func (h Hadamard) Fits(width int64) bool {
	return h.Block > 0 && width%h.Block == 0 && HadamardBlock(h.Block) == h.Block
}

// Apply maps x [..., n·Block] in butterfly passes, and one product with the matrix of size 12 where the block has it. Numbers
// of 16 bits are summed in float32 and rounded once.
func (h Hadamard) Apply(c *Context, x *ts.Tensor) *ts.Tensor {
	shape := c.Shape(x)
	if width := shape[len(shape)-1]; !h.Fits(width) {
		c.Fail("hadamard", "block %d does not fit width %d: want 2^k or 12·2^k that divides it", h.Block, width)
	}
	passes := bits.TrailingZeros64(uint64(h.Block))
	twelve := h.Block%3 == 0
	if twelve {
		passes -= 2
	}
	dtype := x.DType()
	if dtype == gotch.BFloat16 || dtype == gotch.Half {
		x = c.To(x, gotch.Float)
	}
	signs := h.signs(c, x)
	y := c.Reshape(x, -1, h.Block)
	then := func(f func(in *Context, y *ts.Tensor) *ts.Tensor) { // what a pass has read ends with it
		c.Nest(func(in *Context) { y = in.Promote(f(in, in.Own(c.Release(y)))) })
	}
	if signs != nil {
		then(func(in *Context, y *ts.Tensor) *ts.Tensor { return in.Mul(y, signs) })
	}
	for i := range passes {
		then(func(in *Context, y *ts.Tensor) *ts.Tensor {
			y = in.Reshape(y, -1, 2, 1<<i) // pairs of runs that are 2^i apart
			a, b := in.Narrow(y, 1, 0, 1), in.Narrow(y, 1, 1, 1)
			return in.Cat(1, in.Add(a, b), in.Sub(a, b))
		})
	}
	if twelve {
		then(func(in *Context, y *ts.Tensor) *ts.Tensor {
			h12 := in.To(in.ToDevice(in.FromFloats(hadamard12[:], 12, 12), in.Device(x)), x.DType())
			return in.Matmul(h12, in.Reshape(y, -1, 12, 1<<passes))
		})
	}
	then(func(in *Context, y *ts.Tensor) *ts.Tensor {
		y = in.Reshape(in.MulScalar(y, 1/math.Sqrt(float64(h.Block))), -1, h.Block)
		if signs != nil {
			y = in.Mul(y, signs)
		}
		return in.as(in.Reshape(y, shape...), dtype)
	})
	return y
}

// Signs are the diagonal of D, ±1, [Block]; nil for none.
func (h Hadamard) Signs() []float32 {
	if h.Seed == 0 {
		return nil
	}
	draws, word := rng.New(h.Seed, "hadamard signs"), uint64(0)
	signs := make([]float32, h.Block)
	for i := range signs {
		if i%64 == 0 {
			word = draws.Uint64()
		}
		signs[i] = 1 - 2*float32(word>>(i%64)&1)
	}
	return signs
}

func (h Hadamard) signs(c *Context, like *ts.Tensor) *ts.Tensor {
	signs := h.Signs()
	if signs == nil {
		return nil
	}
	return c.To(c.ToDevice(c.FromFloats(signs, h.Block), c.Device(like)), like.DType())
}

// hadamard12 is the symmetric Hadamard matrix of size 12 of Paley's second construction (Paley 1933), from the conference
// matrix C of size 6 over the squares modulo 5: C ⊗ (1 1; 1 -1) + I ⊗ (1 -1; -1 -1).
var hadamard12 = func() (h [144]float32) {
	square := [5]float32{0, 1, -1, -1, 1} // modulo 5, 1 and 4 are squares
	for i := range 6 {
		for j := range 6 {
			c := float32(1)
			if i > 0 && j > 0 {
				c = square[(i-j+5)%5]
			}
			block := [4]float32{c, c, c, -c}
			if i == j {
				block = [4]float32{1, -1, -1, -1}
			}
			for k, v := range block {
				h[12*(2*i+k/2)+2*j+k%2] = v
			}
		}
	}
	return h
}()
