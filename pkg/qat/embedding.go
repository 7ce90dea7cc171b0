package qat

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Embedding is a fake-quantized embedding table: masters, and rows of their quantized values. Only the rows that are
// looked up are computed.
type Embedding struct {
	W     *nn.Param // <path>.weight [rows, width], the master
	Scale *nn.Param // <path>.weight_scale [rows, groups], the master

	plan LayerPlan
	mode mode
}

// newEmbedding declares the parameters of a table, without storage.
func newEmbedding(p LayerPlan, m mode) (*Embedding, error) {
	rows, groups, err := rowScales(p)
	if err != nil {
		return nil, err
	}
	e := &Embedding{plan: p, mode: mode{learn: m.learn, lsq: m.lsq}}
	e.W = &nn.Param{Name: p.Path + ".weight", Shape: []int64{p.Out, p.In}, DType: "F32"}
	e.Scale = &nn.Param{Name: p.Path + ".weight_scale", Shape: []int64{rows, groups}, DType: "F32", Frozen: !m.learn, Scale: true}
	return e, nil
}

// rowScales is the shape of a table's scales. Rows are looked up alone, so their scales must be their own.
func rowScales(p LayerPlan) (rows, groups int64, err error) {
	if w := p.Weight; !w.Symmetric || w.Granularity == quant.PerTensor || p.Activation.Mode != quant.ActivationNone {
		return 0, 0, fmt.Errorf("qat: embedding %s: scheme %v, %v, want symmetric weights with scales of each row, and nothing for activations", p.Path, w, p.Activation)
	}
	rows, groups, err = p.Weight.ParamShape(p.Out, p.In)
	return rows, groups, within(p.Path, err)
}

// Plan is how the table is quantized: Out rows, In wide.
func (e *Embedding) Plan() LayerPlan { return e.plan }

// Visit shows the masters.
func (e *Embedding) Visit(v nn.Visitor) {
	e.W.Visit(v)
	e.Scale.Visit(v)
}

// Rows are the quantized values of rows [...], float32 [..., width], with straight-through gradients.
func (e *Embedding) Rows(c *nn.Context, rows *ts.Tensor) *ts.Tensor {
	flat := c.Reshape(rows, -1)
	m := quant.Master{W: c.Embedding(e.W.T, flat), Scale: c.Embedding(e.Scale.T, flat), Scheme: e.plan.Weight, Factor: 1}
	if e.mode.lsq {
		m.Factor = quant.LSQFactor(e.plan.In/e.Scale.Shape[1], e.plan.Weight.QMax())
	}
	return c.Reshape(m.Value(c.Scope), append(c.Shape(rows), e.plan.In)...)
}

// tableBlock is the number of rows of a table that are converted in one go: a text vocabulary has 150,000.
const tableBlock = 1 << 13

// blocks calls f with the float32 values of a table [rows, width], some rows at a time.
func blocks(t *ts.Tensor, f func(from, n int64, values []float32) error) error {
	return tensor.Run(func(s *tensor.Scope) (err error) {
		t := s.Detach(t)
		rows := s.Shape(t)[0]
		for from := int64(0); from < rows && err == nil; from += tableBlock {
			n := min(tableBlock, rows-from)
			s.Nest(func(in *tensor.Scope) {
				var values []float32
				if values, err = tensor.Floats(in.Narrow(t, 0, from, n)); err == nil {
					err = f(from, n, values)
				}
			})
		}
		return err
	})
}

// initScales are the first scales of a table, from its values alone.
func initScales(w *ts.Tensor, p LayerPlan, method quant.ScaleMethod) ([]float32, error) {
	var out []float32
	err := blocks(w, func(from, n int64, values []float32) error {
		q, err := quant.InitQParams(values, n, p.In, p.Weight, method)
		if err != nil {
			return fmt.Errorf("rows from %d on: %w", from, err)
		}
		out = append(out, q.Scale...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("qat: %s: %w", p.Path, err)
	}
	return out, nil
}

// prepareTable makes e's float table the master of a fake-quantized one.
func prepareTable(e *nn.Embedding, p LayerPlan, scales []float32, cfg Config) error {
	q, err := newEmbedding(p, cfg.mode())
	if err != nil {
		return err
	}
	if err := takeMaster(q.W, e.W, cfg.Masters); err != nil {
		return fmt.Errorf("qat: %s: %w", p.Path, err)
	}
	if err := setMaster(q.Scale, q.W.T, scales); err != nil {
		return fmt.Errorf("qat: %s: %w", p.Path, err)
	}
	e.T = q
	return nil
}

// Pack is the packed form of the table, with copies of everything.
func (e *Embedding) Pack() (*PackedEmbedding, error) {
	scales, err := effective(e.Scale)
	if err != nil {
		return nil, fmt.Errorf("qat: %s: %w", e.plan.Path, err)
	}
	p, err := newPackedEmbedding(e.plan)
	if err != nil {
		return nil, err
	}
	groups := e.Scale.Shape[1]
	words := make([]int32, 0, p.Words.NumElements())
	err = blocks(e.W.T, func(from, n int64, values []float32) error {
		params := quant.QParams{Rows: n, Groups: groups, Scale: scales[from*groups : (from+n)*groups]}
		block, err := quant.Pack(values, n, e.plan.In, params, e.plan.Weight)
		if err != nil {
			return fmt.Errorf("rows from %d on: %w", from, err)
		}
		words = append(words, block.Words...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("qat: %s: %w", e.plan.Path, err)
	}
	err = tensor.Run(func(s *tensor.Scope) error {
		device := s.Device(e.W.T)
		set := func(p *nn.Param, t *ts.Tensor) { p.Set(s.Release(s.ToDevice(t, device))) }
		t, err := int32s(words, p.Words.Shape)
		if err != nil {
			return err
		}
		set(p.Words, s.Own(t))
		set(p.Scale, s.To(s.FromFloats(scales, p.Scale.Shape...), gotch.BFloat16))
		set(p.Shape, s.FromInts([]int64{e.plan.Out, e.plan.In}, 2))
		return nil
	})
	return p, within(e.plan.Path, err)
}

// free drops the masters.
func (e *Embedding) free() {
	e.W.Set(nil)
	e.Scale.Set(nil)
}

// EmbeddingFromFloat is a fake-quantized copy of a float table, with the scheme that cfg has for its path (include and exclude
// play no part) and scales from its values alone, as Prepare makes it. The table stays as it is.
func EmbeddingFromFloat(e *nn.Embedding, cfg Config) (*Embedding, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Embeddings.Bits == 0 || e.T != nil || e.W.T == nil {
		return nil, fmt.Errorf("qat: embedding %s is a %T and embeddings.bits %d, want a loaded float table and 4 or 8 bits", e.Path, e.T, cfg.Embeddings.Bits)
	}
	p, err := planTable(e, cfg, map[string]bool{})
	if err != nil {
		return nil, err
	}
	scales, err := initScales(e.W.T, p, cfg.Init)
	if err != nil {
		return nil, err
	}
	w, dtype := *e.W, e.W.T.DType()
	if name := masters[cfg.Masters]; name != "" { // at once in the dtype that it is to have, and taken over as it is
		if dtype, err = nn.DTypeOf(name); err != nil {
			return nil, fmt.Errorf("qat: %s: %w", e.Path, err)
		}
	}
	if w.T, err = masterOf(e.W.T, dtype); err != nil {
		return nil, fmt.Errorf("qat: %s: %w", e.Path, err)
	}
	copied := &nn.Embedding{Path: e.Path, W: &w}
	if err := prepareTable(copied, p, scales, cfg); err != nil {
		copied.W.Set(nil)
		return nil, err
	}
	return copied.T.(*Embedding), nil
}
