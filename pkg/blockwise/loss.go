package blockwise

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// loss is the mean squared error of y from target over the real rows of a batch, one element in float32. Both are [B,T,H] or
// [N,G,H], as the part has them.
func loss(c *nn.Context, part *talker.Part, b *talker.Batch, y, target *ts.Tensor) *ts.Tensor {
	d := c.Sub(c.To(y, gotch.Float), c.To(target, gotch.Float))
	if part.Padded {
		shape := c.Shape(d)
		rows := real(b.Mask)
		ids := c.ToDevice(c.FromInts(rows, int64(len(rows))), c.Device(d))
		d = c.IndexSelect(c.Reshape(d, -1, shape[len(shape)-1]), 0, ids)
	}
	return c.Mean(c.Mul(d, d))
}

// real are the numbers of the rows whose mask is not 0.
func real(mask []int64) (rows []int64) {
	for i, m := range mask {
		if m != 0 {
			rows = append(rows, int64(i))
		}
	}
	return rows
}
