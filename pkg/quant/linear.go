package quant

import (
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Master is a weight [N, K] as it trains: what it is, and what quantizes it. The masters of scales and zero points are
// rounded inside ([RoundScales], [RoundZeroPoints]).
type Master struct {
	W     *ts.Tensor
	Scale *ts.Tensor // float32 [rows, groups] ([WeightScheme.ParamShape])
	Pre   *ts.Tensor // a second one that quantizes, Scale then only dequantizes (doc.go, "Two scales"); or nil
	Zero  *ts.Tensor // float32 [rows, groups]; nil when symmetric
	Bias  *ts.Tensor // [N], or nil

	Scheme WeightScheme
	Factor float64 // of the gradients of scales and zero points: 1, or [LSQFactor]
}

// Value is the quantized weight in float32.
func (m Master) Value(s *tensor.Scope) *ts.Tensor {
	scale, zero := ScaleGradient(s, m.Scale, m.Factor), m.Zero
	if zero != nil {
		zero = ScaleGradient(s, zero, m.Factor)
	}
	if m.Pre == nil {
		return FakeQuantizeWeight(s, m.W, scale, zero, m.Scheme)
	}
	return fakeQuantizeDual(s, m.W, ScaleGradient(s, m.Pre, m.Factor), scale, zero, m.Scheme)
}

// Input says how the input of a layer is quantized.
type Input struct {
	Scheme ActivationScheme
	Scale  *ts.Tensor // float32 [1], the master of a static scale, else nil
	Factor float64    // of its gradient
}

// Value is the quantized x, in x's dtype.
func (in Input) Value(s *tensor.Scope, x *ts.Tensor) *ts.Tensor {
	scale := in.Scale
	if scale != nil {
		scale = ScaleGradient(s, scale, in.Factor)
	}
	return FakeQuantizeActivation(s, x, scale, in.Scheme)
}

// Products says what the products of a fused layer are made of.
type Products struct {
	// Integer multiplies codes in the forward pass: doc.go, "The integer layer". It needs a quantized input.
	Integer bool
	// BF16Backward rounds the operands and the results of the backward pass's products to bfloat16.
	BF16Backward bool
}

// Linear maps x [..., K] through layers that share it, each to [..., N] in x's dtype: x·Wᵀ + b of quantized values. In the
// CPU's memory it is one autograd function, which keeps the masters and the int8 codes of x for the backward pass;
// elsewhere it is [LinearComposite], where Products mean nothing.
func Linear(s *tensor.Scope, x *ts.Tensor, in Input, p Products, layers ...Master) []*ts.Tensor {
	if composite || !fusible(s, x, layers) {
		return LinearComposite(s, x, in, layers...)
	}
	if (in.Scale != nil) != (in.Scheme.Mode == StaticTensor) {
		s.Fail("quant_linear", "activation mode %v with a scale: %v", in.Scheme.Mode, in.Scale != nil)
	}
	q := tensor.QuantInput{Token: in.Scheme.Mode == DynamicToken, Scale: in.Scale, Factor: in.Factor, Integer: p.Integer, BF16Backward: p.BF16Backward}
	if in.Scheme.Mode != ActivationNone {
		q.QMax = float64(in.Scheme.QMax())
	}
	weights := make([]tensor.QuantWeight, len(layers))
	for i, m := range layers {
		m.check(s)
		weights[i] = tensor.QuantWeight{
			W: m.W, Scale: m.Scale, Pre: m.Pre, Zero: m.Zero, Bias: m.Bias,
			QMin: float64(m.Scheme.QMin()), QMax: float64(m.Scheme.QMax()), Factor: m.Factor,
		}
	}
	return s.QuantLinear(x, q, weights)
}

// LinearComposite is Linear in tensor operations, of the float values. Tests compare the two.
func LinearComposite(s *tensor.Scope, x *ts.Tensor, in Input, layers ...Master) []*ts.Tensor {
	xq, ys := in.Value(s, x), make([]*ts.Tensor, len(layers))
	as := func(t *ts.Tensor) *ts.Tensor {
		if t == nil || t.DType() == x.DType() {
			return t
		}
		return s.To(t, x.DType())
	}
	for i, m := range layers {
		ys[i] = s.Linear(xq, as(m.Value(s)), as(m.Bias))
	}
	return ys
}

// check refuses masters that do not fit the scheme.
func (m Master) check(s *tensor.Scope) {
	shape := s.Shape(m.W)
	if len(shape) != 2 {
		s.Fail("quant_linear", "weight %v, want [out, in]", shape)
	}
	rows, groups, err := m.Scheme.ParamShape(shape[0], shape[1])
	s.Check("quant_linear", err)
	if (m.Zero == nil) != m.Scheme.Symmetric {
		s.Fail("quant_linear", "scheme %v with zero points: %v", m.Scheme, m.Zero != nil)
	}
	for _, t := range []*ts.Tensor{m.Scale, m.Pre, m.Zero} {
		if t == nil {
			continue
		}
		if got := s.Shape(t); len(got) != 2 || got[0] != rows || got[1] != groups {
			s.Fail("quant_linear", "scales or zero points %v of a weight %v, want %v for %v", got, shape, []int64{rows, groups}, m.Scheme)
		}
	}
}

// fusible tells whether the shim's function can read all of it.
func fusible(s *tensor.Scope, x *ts.Tensor, layers []Master) bool {
	if d := x.DType(); d != gotch.Float && d != gotch.BFloat16 || s.Device(x).Name != gotch.CPU.Name || slices.Contains(s.Shape(x), 0) {
		return false
	}
	for _, m := range layers {
		if !s.Fusible(m.W) && m.W.DType() != gotch.BFloat16 || !s.Fusible(m.Scale) {
			return false
		}
	}
	return true
}
