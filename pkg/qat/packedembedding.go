package qat

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// PackedEmbedding is a quantized embedding table as it is stored. A row is dequantized when it is looked up, and has the
// bits of the fake-quantized one.
type PackedEmbedding struct {
	Words *nn.Param // <path>.weight_packed, I32 [rows, ceil(width/per)]
	Scale *nn.Param // <path>.weight_scale, BF16 [rows, groups] (F16 and F32 are read too)
	Shape *nn.Param // <path>.weight_shape, I64 [2]

	plan LayerPlan
}

// newPackedEmbedding declares the parameters of a table, without storage.
func newPackedEmbedding(p LayerPlan) (*PackedEmbedding, error) {
	rows, groups, err := rowScales(p)
	if err != nil {
		return nil, err
	}
	stored := func(name, dtype string, shape ...int64) *nn.Param {
		return &nn.Param{Name: p.Path + name, Shape: shape, DType: dtype, Frozen: true}
	}
	per := p.Weight.PerWord()
	return &PackedEmbedding{
		Words: stored(".weight_packed", "I32", p.Out, (p.In+per-1)/per),
		Scale: stored(".weight_scale", "BF16", rows, groups),
		Shape: stored(".weight_shape", "I64", 2),
		plan:  p,
	}, nil
}

// Plan is how the table is quantized: Out rows, In wide.
func (e *PackedEmbedding) Plan() LayerPlan { return e.plan }

// Visit shows the parameters.
func (e *PackedEmbedding) Visit(v nn.Visitor) {
	for _, p := range e.stored() {
		p.Visit(v)
	}
}

func (e *PackedEmbedding) stored() []*nn.Param { return []*nn.Param{e.Words, e.Scale, e.Shape} }

// Rows are the values of rows [...], float32 [..., width].
func (e *PackedEmbedding) Rows(c *nn.Context, rows *ts.Tensor) *ts.Tensor {
	var x *ts.Tensor
	nn.NoGrad(func() {
		c.Scope.Nest(func(s *tensor.Scope) {
			flat := s.Reshape(rows, -1)
			words, scale := s.IndexSelect(e.Words.T, 0, flat), s.To(s.IndexSelect(e.Scale.T, 0, flat), gotch.Float)
			n, groups := s.Shape(scale)[0], s.Shape(scale)[1]
			u := s.Narrow(unpack(s, words, e.plan.Weight, 1), 1, 0, e.plan.In)
			q := s.AddScalar(s.Reshape(u, n, groups, -1), float64(e.plan.Weight.QMin()))
			x = s.Promote(s.Reshape(s.Mul(q, s.Reshape(scale, n, groups, 1)), append(s.Shape(rows), e.plan.In)...))
		})
	})
	return x
}

// tablePlan is how an embedding's table is quantized; ok is false for a float one.
func tablePlan(e *nn.Embedding) (p LayerPlan, ok bool) {
	if t, ok := e.T.(interface{ Plan() LayerPlan }); ok {
		return t.Plan(), true
	}
	return LayerPlan{}, false
}

// exactTable is the plan of a table whose scheme is settled.
func exactTable(e *nn.Embedding, w quant.WeightScheme, a quant.ActivationScheme) (LayerPlan, error) {
	return exactPlan(&nn.Slot{Path: e.Path, Out: e.W.Shape[0], In: e.W.Shape[1]}, w, a)
}

// swapTable puts t where a float table was and frees that one.
func swapTable(e *nn.Embedding, t nn.Table) {
	e.W.Set(nil)
	e.T = t
}

// packTables packs the fake-quantized tables of m; the result is in the order of nn.Embeddings, nil for others.
func packTables(m nn.Module) ([]*PackedEmbedding, error) {
	tables := nn.Embeddings(m)
	out := make([]*PackedEmbedding, len(tables))
	for i, e := range tables {
		q, ok := e.T.(*Embedding)
		if !ok {
			continue
		}
		p, err := q.Pack()
		if err != nil {
			for _, p := range out[:i] {
				if p != nil {
					nn.Close(p)
				}
			}
			return nil, fmt.Errorf("qat: %w", err)
		}
		out[i] = p
	}
	return out, nil
}
