package qat

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	gnn "github.com/sugarme/gotch/nn"
	"github.com/sugarme/gotch/ts"
)

// Float is a float layer: this module's or gotch's own.
type Float interface {
	*nn.Linear | *gnn.Linear
}

// FromFloat is a fake-quantized copy of a float layer, with the scheme that cfg has for path (its include and exclude
// lists play no part) and scales from the weight alone. The copy trains its own masters; the float layer stays as it
// is. Gotch's layer keeps its weight as a transposed view [in, out]; the copy has [out, in].
func FromFloat[L Float](path string, layer L, cfg Config) (*Linear, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var w, b *ts.Tensor
	switch l := any(layer).(type) {
	case *nn.Linear:
		w, b = l.W.T, l.Bias()
	case *gnn.Linear:
		b = l.Bs
		err := tensor.Run(func(s *tensor.Scope) error {
			w = s.Release(s.Transpose(s.Detach(l.Ws), 0, 1))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("qat: %s: %w", path, err)
		}
		defer w.Drop()
	}
	if w == nil {
		return nil, fmt.Errorf("qat: %s: the weight is not loaded", path)
	}
	shape, err := w.Size()
	if err != nil || len(shape) != 2 {
		return nil, fmt.Errorf("qat: %s: weight of shape %v, want [out, in] (%v)", path, shape, err)
	}
	return fromTensors(path, shape[0], shape[1], w, b, cfg)
}

func fromTensors(path string, out, in int64, w, b *ts.Tensor, cfg Config) (*Linear, error) {
	plan, err := planLayer(path, out, in, cfg, map[string]bool{})
	if err != nil {
		return nil, err
	}
	p, err := initQParams(w, plan, cfg)
	if err != nil {
		return nil, err
	}
	l, err := newLinear(plan, cfg.mode(), nil)
	if err != nil {
		return nil, err
	}
	if l.W.T, err = floatMaster(w); err != nil {
		return nil, fmt.Errorf("qat: %s: %w", path, err)
	}
	if b != nil && b != ts.None {
		l.B = nn.NewParam(path+".bias", nn.Zeros, out)
		if l.B.T, err = floatMaster(b); err != nil {
			return nil, fmt.Errorf("qat: %s: bias: %w", path, err)
		}
	}
	return l, l.setQParams(p)
}

// initQParams are the first scales of a weight, from its values alone.
func initQParams(w *ts.Tensor, plan LayerPlan, cfg Config) (quant.QParams, error) {
	values, err := tensor.Floats(w)
	if err != nil {
		return quant.QParams{}, fmt.Errorf("qat: %s: %w", plan.Path, err)
	}
	method := cfg.Init
	if !plan.Weight.Symmetric {
		method = quant.MinMax
	}
	p, err := quant.InitQParams(values, plan.Out, plan.In, plan.Weight, method)
	if err != nil {
		return quant.QParams{}, fmt.Errorf("qat: %s: %w", plan.Path, err)
	}
	return p, nil
}
