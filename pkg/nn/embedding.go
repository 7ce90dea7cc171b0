package nn

import (
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Embedding is a lookup table [rows, width], and the place where another form of it is swapped in.
type Embedding struct {
	Path string
	W    *Param // <path>.weight, the float table; while T serves, it has no value and is no parameter of the tree
	T    Table  // another form of the table; nil for W
	// DType of the rows; the zero value leaves them as the table gives them.
	DType gotch.DType
	// Kept are the ids that the table has rows for, where it was pruned; nil for 0 … rows-1.
	Kept *Kept
}

// Table is a lookup table in some representation.
type Table interface {
	Module
	// Rows maps int64 numbers of rows [...] to rows [..., width].
	Rows(c *Context, rows *ts.Tensor) *ts.Tensor
}

// NewEmbedding declares path.weight.
func NewEmbedding(path string, rows, width int64) *Embedding {
	return &Embedding{Path: path, W: NewParam(path+".weight", Normal, rows, width)}
}

// Visit shows the embedding, then the parameters of its table.
func (e *Embedding) Visit(v Visitor) {
	if v.Embedding != nil {
		v.Embedding(e)
	}
	if e.T != nil {
		e.T.Visit(v)
	} else {
		e.W.Visit(v)
	}
	if e.Kept != nil {
		e.Kept.IDs.Visit(v)
	}
}

// Forward maps int64 ids [...] to rows [..., width]. An id that a pruned table lacks is an error.
func (e *Embedding) Forward(c *Context, ids *ts.Tensor) *ts.Tensor {
	if e.Kept != nil {
		ids = e.Kept.rows(c, e.Path, ids)
	}
	var x *ts.Tensor
	if e.T != nil {
		x = e.T.Rows(c, ids)
	} else {
		x = c.Embedding(e.W.T, ids)
	}
	if e.DType == 0 {
		return x
	}
	return c.as(x, e.DType)
}

// Embeddings lists m's embeddings in the order of the tree.
func Embeddings(m Module) []*Embedding {
	var out []*Embedding
	m.Visit(Visitor{Embedding: func(e *Embedding) { out = append(out, e) }})
	return out
}
