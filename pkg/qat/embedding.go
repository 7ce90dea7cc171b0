package qat

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// EmbeddingConfig says which embedding tables are quantized, and how: symmetric codes, a scale for each row or for each
// group of a row, weights only.
type EmbeddingConfig struct {
	Bits      int   `toml:"bits"`       // 4 or 8; 0 leaves tables float
	GroupSize int64 `toml:"group_size"` // 32, 64 or 128 consecutive numbers of a row share a scale; 0 for the whole row
	// Include and Exclude are patterns on full paths, such as "talker.model.text_embedding", as those of Config.
	Include []string `toml:"include"`
	Exclude []string `toml:"exclude"`
}

func (e EmbeddingConfig) scheme() quant.WeightScheme {
	s := quant.WeightScheme{Bits: e.Bits, Symmetric: true, Granularity: quant.PerGroup, GroupSize: e.GroupSize}
	if e.GroupSize == 0 {
		s.Granularity = quant.PerChannel
	}
	return s
}

func (e EmbeddingConfig) validate() error {
	errs := []error{patterns("embeddings.include", e.Include), patterns("embeddings.exclude", e.Exclude)}
	if e.Bits != 0 {
		errs = append(errs, within("embeddings", e.scheme().Validate()))
		if len(e.Include) == 0 {
			errs = append(errs, errors.New("qat: embeddings.include is empty, want at least one pattern such as \"**\""))
		}
	} else if e.GroupSize != 0 {
		errs = append(errs, fmt.Errorf("qat: embeddings.group_size %d with embeddings.bits 0, want bits 4 or 8", e.GroupSize))
	}
	return errors.Join(errs...)
}

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
