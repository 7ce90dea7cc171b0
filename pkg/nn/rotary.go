package nn

import (
	"fmt"
	"math"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Rotary makes the angles of rotary position embedding (Su et al. 2021), with the pairs (i, i+D/2).
type Rotary struct {
	D     int64   // head_dim
	Theta float64 // base of the frequencies theta^(-2i/D)
	// Sections says how many frequencies the position streams (time, height, width) drive. Empty: one stream.
	Sections []int64
	// Interleaved streams take every third frequency; otherwise they take contiguous runs.
	Interleaved bool
}

// Angles are the tables of one forward pass, [B, 1, T, D] each, in the activations' dtype.
type Angles struct{ Cos, Sin *ts.Tensor }

// Validate checks D and the sections.
func (r Rotary) Validate() error {
	if r.D <= 0 || r.D%2 != 0 {
		return fmt.Errorf("rotary: head_dim %d, want an even number", r.D)
	}
	sum := int64(0)
	for _, n := range r.Sections {
		sum += n
	}
	if len(r.Sections) != 0 && (len(r.Sections) != 3 || sum != r.D/2) {
		return fmt.Errorf("rotary: mrope_section %v, want three numbers with sum %d", r.Sections, r.D/2)
	}
	return nil
}

// Angles for positions [B, T] (one stream) in dtype.
func (r Rotary) Angles(c *Context, positions *ts.Tensor, dtype gotch.DType) Angles {
	return r.finish(c, r.phase(c, positions, r.Frequencies()), dtype)
}

// AnglesOf three position streams, each [B, T].
func (r Rotary) AnglesOf(c *Context, streams [3]*ts.Tensor, dtype gotch.DType) Angles {
	phase := r.phase(c, streams[0], r.frequencies(0))
	for k := 1; k < 3; k++ {
		phase = c.Add(phase, r.phase(c, streams[k], r.frequencies(k)))
	}
	return r.finish(c, phase, dtype)
}

// Frequencies of one position stream, [D/2].
func (r Rotary) Frequencies() []float32 { return r.frequencies(-1) }

// frequencies that stream drives, zero elsewhere; stream -1 drives all.
func (r Rotary) frequencies(stream int) []float32 {
	f := make([]float32, r.D/2)
	for i := range f {
		if stream < 0 || r.stream(int64(i)) == stream {
			f[i] = float32(1 / math.Pow(r.Theta, float64(2*i)/float64(r.D)))
		}
	}
	return f
}

// stream that drives frequency i.
func (r Rotary) stream(i int64) int {
	if r.Interleaved {
		if k := i % 3; k != 0 && i < 3*r.Sections[k] {
			return int(k)
		}
		return 0
	}
	for k, n := range r.Sections {
		if i < n {
			return k
		}
		i -= n
	}
	return 0
}

// phase is positions × frequencies, [B, T, D/2], in float32.
func (r Rotary) phase(c *Context, positions *ts.Tensor, frequencies []float32) *ts.Tensor {
	f := c.ToDevice(c.FromFloats(frequencies, r.D/2), device(c, positions))
	return c.Mul(c.Unsqueeze(c.To(positions, gotch.Float), -1), f)
}

func (r Rotary) finish(c *Context, phase *ts.Tensor, dtype gotch.DType) Angles {
	full := c.Unsqueeze(c.Cat(-1, phase, phase), 1) // [B, 1, T, D]
	return Angles{Cos: c.as(c.Cos(full), dtype), Sin: c.as(c.Sin(full), dtype)}
}

// Rotate turns x [B, heads, T, D].
func (a Angles) Rotate(c *Context, x *ts.Tensor) *ts.Tensor {
	half := c.Shape(x)[3] / 2
	x1, x2 := c.Narrow(x, 3, 0, half), c.Narrow(x, 3, half, half)
	return c.Add(c.Mul(x, a.Cos), c.Mul(c.Cat(3, c.Neg(x2), x1), a.Sin))
}

func device(c *Context, x *ts.Tensor) gotch.Device {
	d, err := x.Device()
	c.Check("device", err)
	return d
}
