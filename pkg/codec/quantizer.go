package codec

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// codebook is a table of V code vectors, stored as running sums and counts: vector i is sum[i] / max(usage[i], 1e-5).
// Training moves the sums.
type codebook struct {
	sum   *nn.Param // [V, D]
	usage *nn.Param // [V]
}

const leastUsage = 1e-5 // an entry that was never chosen has count 0

func newCodebook(sum, usage string, V, D int64) *codebook {
	b := &codebook{sum: nn.NewParam(sum, nn.Normal, V, D), usage: nn.NewParam(usage, nn.Ones, V)}
	b.usage.Frozen = true
	return b
}

// Visit shows sums and counts.
func (b *codebook) Visit(v nn.Visitor) {
	b.usage.Visit(v)
	b.sum.Visit(v)
}

// vectors of ids [...] are [..., D].
func (b *codebook) vectors(c *nn.Context, ids *ts.Tensor) *ts.Tensor {
	usage := c.Embedding(c.Unsqueeze(b.usage.T, 1), ids) // [..., 1]
	return c.Div(c.Embedding(b.sum.T, ids), c.Clamp(usage, leastUsage, maxUsage))
}

// table is all vectors [V, D].
func (b *codebook) table(c *nn.Context) *ts.Tensor {
	return c.Div(b.sum.T, c.Clamp(c.Unsqueeze(b.usage.T, 1), leastUsage, maxUsage))
}

const maxUsage = 3e38 // no bound: the largest number of float32 and bfloat16

// nearest is the id of the closest vector to each row of x [N, D] by Euclidean distance in float32, and the vectors.
func (b *codebook) nearest(c *nn.Context, x *ts.Tensor) (ids, vectors *ts.Tensor) {
	table := b.table(c)
	ids = c.Argmin(c.Cdist(c.To(x, gotch.Float), c.To(table, gotch.Float)), -1)
	return ids, c.IndexSelect(table, 0, ids)
}

// quantizer is a residual quantizer: each codebook takes what the ones before left over. The half that encodes projects
// into the codebooks' width, the half that decodes projects out of it.
type quantizer struct {
	project *nn.Conv1d // nil: the widths are equal
	books   []*codebook
	unused  []*nn.Param // tensors of the checkpoint that this half does not need
}

func (q *quantizer) Visit(v nn.Visitor) {
	if q.project != nil {
		q.project.Visit(v)
	}
	for _, b := range q.books {
		b.Visit(v)
	}
	for _, p := range q.unused {
		p.Visit(v)
	}
}

func (q *quantizer) leave(p *nn.Param) {
	p.Frozen = true
	q.unused = append(q.unused, p)
}

func newEncoderQuantizer(path string, cfg *EncoderConfig, stages int) *quantizer {
	q := &quantizer{}
	if cfg.Width != cfg.Hidden {
		q.project = nn.NewConv1d(path+".input_proj", cfg.Hidden, cfg.Width, 1, nn.Conv{}, false)
		q.leave(nn.NewParam(path+".output_proj.weight", nn.FanIn, cfg.Hidden, cfg.Width, 1))
	}
	for i := range stages {
		at := fmt.Sprintf("%s.layers.%d.codebook.", path, i)
		q.books = append(q.books, newCodebook(at+"embed_sum", at+"cluster_usage", cfg.Codebook, cfg.Width))
		q.leave(nn.NewParam(at+"initialized", nn.Ones, 1))
	}
	return q
}

func newDecoderQuantizer(path string, cfg *DecoderConfig, stages int) *quantizer {
	inner := cfg.Width / 2
	q := &quantizer{project: nn.NewConv1d(path+".output_proj", inner, cfg.Width, 1, nn.Conv{}, false)}
	q.leave(nn.NewParam(path+".input_proj.weight", nn.FanIn, inner, cfg.Width, 1))
	for i := range stages {
		at := fmt.Sprintf("%s.vq.layers.%d._codebook.", path, i)
		q.books = append(q.books, newCodebook(at+"embedding_sum", at+"cluster_usage", cfg.Codebook, inner))
	}
	return q
}

// rows are latents x [B, C, T] in the width of the codebooks, a row for each frame: [B·T, D].
func (q *quantizer) rows(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	if q.project != nil {
		x = q.project.Forward(c, x)
	}
	size := c.Shape(x)
	return c.Reshape(c.Transpose(x, 1, 2), size[0]*size[2], size[1])
}

// encode latents x [B, C, T] by the first n codebooks: one [B, T] of ids each.
func (q *quantizer) encode(c *nn.Context, x *ts.Tensor, n int) []*ts.Tensor {
	size := c.Shape(x)
	rest := q.rows(c, x)
	ids := make([]*ts.Tensor, n)
	for i, b := range q.books[:n] {
		var near, left *ts.Tensor
		c.Nest(func(in *nn.Context) {
			id, v := b.nearest(in, rest)
			near, left = in.Promote(in.Reshape(id, size[0], size[2])), in.Promote(in.Sub(rest, v))
		})
		ids[i], rest = near, left
	}
	return ids
}

// decode sums the vectors of codes [B, T, G'], one column for each codebook: [B, C, T].
func (q *quantizer) decode(c *nn.Context, codes *ts.Tensor) *ts.Tensor {
	var sum *ts.Tensor
	for i, b := range q.books {
		v := b.vectors(c, c.Contiguous(c.Select(codes, 2, int64(i))))
		if sum == nil {
			sum = v
		} else {
			sum = c.Add(sum, v)
		}
	}
	return q.project.Forward(c, c.Transpose(sum, 1, 2))
}
