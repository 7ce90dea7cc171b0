package qat

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// narrowed is t rounded to dtype and back, or nil when that changes nothing.
func narrowed(t *ts.Tensor, dtype string) (out *ts.Tensor, err error) {
	to, err := nn.DTypeOf(dtype)
	if err != nil || to == t.DType() || !floating(to) || !floating(t.DType()) {
		return nil, err
	}
	err = tensor.Run(func(s *tensor.Scope) error {
		x := s.Detach(t)
		y := s.To(s.To(x, to), t.DType())
		if !s.All(s.Eq(x, y)) {
			out = s.Release(y)
		}
		return nil
	})
	return out, err
}

func floating(d gotch.DType) bool {
	return d == gotch.Float || d == gotch.Half || d == gotch.BFloat16 || d == gotch.Double
}

// packedTensors are the stored tensors of a quantized slot without its bias, for either form. The packed form of a
// fake-quantized layer is freed by done once they are written.
func packedTensors(s *nn.Slot) (list []ckpt.Tensor, done func(), err error) {
	p, done := (*Packed)(nil), func() {}
	switch l := s.P.(type) {
	case *Packed:
		p = l
	case *Linear:
		if p, err = l.Pack(); err != nil {
			return nil, done, err
		}
		done = func() {
			p.B = nil // it belongs to the layer that trains
			nn.Close(p)
		}
	}
	return storedParams(p.stored(), done)
}

// packedTable is packedTensors of an embedding.
func packedTable(e *nn.Embedding) (list []ckpt.Tensor, done func(), err error) {
	p, done := (*PackedEmbedding)(nil), func() {}
	switch t := e.T.(type) {
	case *PackedEmbedding:
		p = t
	case *Embedding:
		if p, err = t.Pack(); err != nil {
			return nil, done, err
		}
		done = func() { nn.Close(p) }
	default:
		return nil, done, fmt.Errorf("qat: embedding %s is a %T, want a table of this package", e.Path, e.T)
	}
	return storedParams(p.stored(), done)
}

// storedParams are the tensors of params, or after done an error.
func storedParams(params []*nn.Param, done func()) (list []ckpt.Tensor, _ func(), err error) {
	for _, q := range params {
		t, err := nn.Stored(q, q.DType)
		if err != nil {
			done()
			return nil, func() {}, err
		}
		list = append(list, t)
	}
	return list, done, nil
}

// layerPlan is how the slot's layer is quantized; ok is false for a float one.
func layerPlan(s *nn.Slot) (p LayerPlan, ok bool) {
	switch l := s.P.(type) {
	case *Linear:
		return l.plan, true
	case *Packed:
		return l.plan, true
	}
	return LayerPlan{}, false
}

// restParams are the parameters of m that are not weights or scales of a quantized layer or table: norms, float tables,
// biases, float projections, transforms.
func restParams(m nn.Module) []*nn.Param {
	owned := map[*nn.Param]bool{}
	for _, e := range nn.Embeddings(m) {
		if _, ok := tablePlan(e); ok {
			for _, p := range nn.Params(e.T) {
				owned[p] = true
			}
		}
	}
	for _, s := range nn.Slots(m) {
		switch l := s.P.(type) {
		case *Linear:
			for _, p := range []*nn.Param{l.W, l.Scale, l.Pre, l.Zero, l.InputScale} {
				owned[p] = true
			}
		case *Packed:
			for _, p := range l.stored() {
				owned[p] = true
			}
		}
	}
	var rest []*nn.Param
	for _, p := range nn.Params(m) {
		if !owned[p] {
			rest = append(rest, p)
		}
	}
	return rest
}
