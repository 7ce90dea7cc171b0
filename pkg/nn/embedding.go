package nn

import "github.com/sugarme/gotch/ts"

// Embedding is a lookup table [rows, width].
type Embedding struct{ W *Param }

// NewEmbedding declares path.weight.
func NewEmbedding(path string, rows, width int64) *Embedding {
	return &Embedding{W: NewParam(path+".weight", Normal, rows, width)}
}

// Visit shows the table.
func (e *Embedding) Visit(v Visitor) { e.W.Visit(v) }

// Forward maps int64 ids [...] to rows [..., width].
func (e *Embedding) Forward(c *Context, ids *ts.Tensor) *ts.Tensor { return c.Embedding(e.W.T, ids) }
