package packed

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/int8"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
)

// Weight is a packed weight [rows, cols] that kernels compute with: an *int4.Matrix or an *int8.Matrix.
type Weight interface {
	Shape() (rows, cols int64)
	// Bytes are what a product reads, where they lie.
	Bytes() []byte
	// Dequantize is the dense weight, row by row.
	Dequantize() ([]float32, error)
	// SetInput says how products quantize their input.
	SetInput(a quant.ActivationScheme, scale float32) error
	// Native describes the matrix for internal/native, with kernels by their name, "" for the fastest, and a bias or nil.
	Native(kernels string, bias []float32) (*native.Matrix, error)
	Close()
}

// kernels is the name of w's set that a name out of int4.Kernels or int8.Kernels stands for. The packages have sets for
// different CPUs; one that has none of the name takes its fastest.
func kernels(w Weight, name string) string {
	own, other := int4.Kernels(), int8.Kernels()
	if _, ok := w.(*int8.Matrix); ok {
		own, other = other, own
	}
	if !slices.Contains(own, name) && slices.Contains(other, name) {
		return ""
	}
	return name
}

// supports tells why no kernels know a layer's scheme, without a look at its values.
func supports(p *qat.Packed) error {
	plan := p.Plan()
	if int4.Supports(plan.Out, plan.In, plan.Weight) == nil {
		return nil
	}
	return int8.Supports(plan.Out, plan.In, plan.Weight)
}

// refused is the reason why a layer's values do not suit kernels that know its scheme.
type refused struct{ error }

// weigh lays out a loaded layer's weight and takes over how its input is quantized. The error is a refused one where the
// layer has no kernels.
func weigh(p *qat.Packed) (Weight, error) {
	d, err := p.Scale.T.Device()
	if err != nil {
		return nil, fmt.Errorf("packed: %s: %w", p.Path(), err)
	}
	if d.Name != gotch.CPU.Name {
		return nil, refused{fmt.Errorf("packed: weight on device %s, want the CPU", d.Name)}
	}
	if err := supports(p); err != nil {
		return nil, refused{err}
	}
	w, err := words(p)
	if err != nil {
		return nil, fmt.Errorf("packed: %s: %w", p.Path(), err)
	}
	scale := []float32{0}
	if p.InputScale != nil {
		if scale, err = tensor.Floats(p.InputScale.T); err != nil {
			return nil, fmt.Errorf("packed: %s: %w", p.Path(), err)
		}
	}
	if err := p.Plan().Activation.CheckScale(scale[0]); err != nil {
		return nil, refused{err}
	}
	m, err := layout(w)
	if err != nil {
		return nil, fmt.Errorf("packed: %s: %w", p.Path(), err)
	}
	if err := m.SetInput(p.Plan().Activation, scale[0]); err != nil {
		m.Close()
		return nil, fmt.Errorf("packed: %s: %w", p.Path(), err)
	}
	return m, nil
}

// layout is that of the package that knows the scheme, of pkg/int8 for scales that pkg/int4 could not hold exactly.
func layout(w *quant.Packed) (Weight, error) {
	off := func(s float32) bool { return !quant.OnGrid(s) }
	if int4.Supports(w.N, w.K, w.Scheme) != nil || slices.ContainsFunc(w.Params.Scale, off) {
		m, err := int8.FromWords(w)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
	m, err := int4.FromWords(w)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// words are the layer's stored tensors as pkg/quant has them.
func words(p *qat.Packed) (*quant.Packed, error) {
	plan := p.Plan()
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
	if plan.Weight.Granularity == quant.PerTensor { // a signed byte
		z, err := tensor.Ints(p.Zero.T)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Zero.Name, err)
		}
		if len(z) != 1 {
			return nil, fmt.Errorf("%s: %d zero points, want one", p.Zero.Name, len(z))
		}
		w.Params.ZeroPoint = []int32{int32(z[0]) + (plan.Weight.QMax()+1)/2}
		return w, nil
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
