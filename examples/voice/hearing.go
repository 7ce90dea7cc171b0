package main

import (
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch/ts"
)

// hearing teaches an encoder which codes were spoken: the nearer the vector of a code, the more likely it is.
type hearing struct {
	m      *codec.Codec
	corpus *demo.Corpus
	codes  float64 // weight of codes 1 … beside code 0
}

// Module is the encoder.
func (o *hearing) Module() nn.Module { return o.m.Encoder }

// Terms is the cross-entropy of the first code of a frame, and the sum of those of the others.
func (o *hearing) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	b, err := collate(o.corpus, us)
	if err != nil {
		return nil, err
	}
	codes, truth := c.FromInts(b.codes, b.B, b.T, demo.Groups), c.FromFloats(b.truth, b.B, 1, b.T*demo.Hop)
	there := c.FromFloats(b.frames(), b.B*b.T)
	var first, rest *ts.Tensor
	for g, d := range o.m.Encoder.Distances(c, o.m.Encoder.Latents(c, truth), codes) {
		ids := c.Reshape(c.Contiguous(c.Select(codes, 2, int64(g))), -1, 1)
		p := c.Squeeze(c.Gather(c.LogSoftmax(c.Neg(d), -1), 1, ids), 1)
		ce := c.DivScalar(c.Neg(c.Sum(c.Mul(p, there))), float64(total.Frames))
		switch {
		case g == 0:
			first = ce
		case rest == nil:
			rest = ce
		default:
			rest = c.Add(rest, ce)
		}
	}
	return []train.Term{{Name: "code0", Weight: 1, Value: first},
		{Name: "codes", Weight: o.codes, Value: rest}}, nil
}
