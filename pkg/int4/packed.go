package int4

import (
	"encoding/binary"
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// FromPacked lays out a packed layer's weight and takes over how its input is quantized. The bias stays with the layer.
func FromPacked(p *qat.Packed) (*Matrix, error) {
	w, err := words(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Path(), err)
	}
	m, err := FromWords(w)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Path(), err)
	}
	if err := setInput(m, p); err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w", p.Path(), err)
	}
	return m, nil
}

// setInput takes over how the layer quantizes its input.
func setInput(m *Matrix, p *qat.Packed) error {
	scale := []float32{0}
	if p.InputScale != nil {
		var err error
		if scale, err = tensor.Floats(p.InputScale.T); err != nil {
			return err
		}
	}
	return m.SetInput(p.Plan().Activation, scale[0])
}

// words are the layer's stored tensors as pkg/quant has them.
func words(p *qat.Packed) (*quant.Packed, error) {
	plan := p.Plan()
	if err := Supports(plan.Out, plan.In, plan.Weight); err != nil {
		return nil, err
	}
	w := &quant.Packed{Scheme: plan.Weight, N: plan.Out, K: plan.In}
	var err error
	if w.Words, err = int32s(p.Words); err != nil {
		return nil, err
	}
	if w.Params.Rows, w.Params.Groups, err = plan.Weight.ParamShape(plan.Out, plan.In); err != nil {
		return nil, err
	}
	if w.Params.Scale, err = tensor.Floats(p.Scale.T); err != nil || p.Zero == nil {
		return w, err
	}
	zeros, err := int32s(p.Zero)
	if err != nil {
		return nil, err
	}
	w.Params.ZeroPoint, err = quant.UnpackZeroPoints(zeros, w.Params.Rows, w.Params.Groups, plan.Weight)
	return w, err
}

func int32s(p *nn.Param) ([]int32, error) {
	b, err := tensor.Bytes(p.T)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	out := make([]int32, len(b)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out, nil
}
