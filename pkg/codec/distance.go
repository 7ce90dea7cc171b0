package codec

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Distances are how far latents [B, C, T] are from the vectors of each codebook, squared and differentiable: one
// [B·T, V] for each of the n columns of the int64 codes [B, T, n]. A codebook sees what the vectors of the given codes
// before it leave over, not those of the nearest: to train an encoder, give it the codes that it should choose.
func (e *Encoder) Distances(c *nn.Context, latents, codes *ts.Tensor) []*ts.Tensor {
	n := c.Shape(codes)[2]
	if most := int64(e.cfg.Encoder.Quantizers); n < 1 || n > most {
		c.Fail("distances", "%d codes a frame, want 1 to num_quantizers %d", n, most)
	}
	semantic := min(n, int64(e.cfg.Encoder.Semantic))
	d := e.semantic.distances(c, latents, c.Narrow(codes, 2, 0, semantic))
	return append(d, e.acoustic.distances(c, latents, c.Narrow(codes, 2, semantic, n-semantic))...)
}

func (q *quantizer) distances(c *nn.Context, x, codes *ts.Tensor) []*ts.Tensor {
	rest := q.rows(c, x)
	out := make([]*ts.Tensor, c.Shape(codes)[2])
	for i := range out {
		b := q.books[i]
		table := b.table(c)                                                                                  // [V, D]
		cross := c.MulScalar(c.Matmul(rest, c.Transpose(table, 0, 1)), -2)                                   // [B·T, V]
		out[i] = c.Add(c.Add(c.SumDim(c.Square(rest), true, 1), cross), c.SumDim(c.Square(table), false, 1)) // |r|² - 2r·e + |e|²
		ids := c.Reshape(c.Contiguous(c.Select(codes, 2, int64(i))), -1)
		rest = c.Sub(rest, b.vectors(c, ids))
	}
	return out
}
