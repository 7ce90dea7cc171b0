package tensor

import (
	"runtime"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// FakeQuantize is (clamp(r(x/scale) + zero, qmin, qmax) - zero) * scale, r half to even, with LSQ's gradients, in one
// pass each way. x, scale and zero (or nil) are contiguous float32 on the CPU ([Fusible]); scale and zero have one
// element for each group of consecutive elements of x.
func (s *Scope) FakeQuantize(x, scale, zero *ts.Tensor, qmin, qmax float64) *ts.Tensor {
	args := []*ts.Tensor{x, scale}
	if zero != nil {
		args = append(args, zero)
	}
	s.admit("fake_quantize", args...)
	t, err := shim.FakeQuantize(x, scale, zero, qmin, qmax)
	return s.result("fake_quantize", t, err, x, scale, zero)
}

// QuantizeTokens quantizes each token (last dimension) of x, fusible too, symmetrically with its own scale max|x|/qmax.
// Nothing is recorded.
func (s *Scope) QuantizeTokens(x *ts.Tensor, qmax float64) *ts.Tensor {
	s.admit("quantize_tokens", x)
	t, err := shim.QuantizeTokens(x, qmax)
	return s.result("quantize_tokens", t, err, x)
}

// SetQuantKernels chooses the CPU's kernels of quantization by name, "" for the best; false if it cannot run them. All give
// the same bits; tests compare them.
func SetQuantKernels(name string) bool { return shim.SetQuantKernels(name) }

// QuantKernels is the name of the kernels in use.
func QuantKernels() string { return shim.QuantKernels() }

// Fusible tells whether the shim's passes can read x: contiguous float32 in the CPU's memory.
func (s *Scope) Fusible(x *ts.Tensor) bool {
	device := s.Device(x)
	contiguous, err := x.IsContiguous()
	s.Check("contiguous", err)
	dtype := x.DType()
	runtime.KeepAlive(x)
	return dtype == gotch.Float && device.Name == gotch.CPU.Name && contiguous
}

// What QuantLinear takes.
type (
	QuantWeight = shim.QuantWeight
	QuantInput  = shim.QuantInput
)

// QuantLinear is x·Wᵀ + b of the quantized x [..., K] and each quantized weight, [..., N] in x's dtype, float32 or
// bfloat16 on the CPU. Masters are float32 (W also bfloat16), contiguous. The graph keeps masters and int8 codes, no float
// copy of either.
func (s *Scope) QuantLinear(x *ts.Tensor, in QuantInput, weights []QuantWeight) []*ts.Tensor {
	const op = "quant_linear"
	args := []*ts.Tensor{x}
	for _, t := range append([]*ts.Tensor{in.Scale}, masters(weights)...) {
		if t != nil {
			args = append(args, t)
		}
	}
	for _, w := range weights {
		s.admit(op, w.W, w.Scale)
	}
	s.admit(op, args...)
	ys, err := shim.QuantLinear(x, in, weights)
	if err != nil {
		s.result(op, nil, err, args...)
	}
	for _, y := range ys {
		s.result(op, y, nil, args...)
	}
	return ys
}

func masters(weights []QuantWeight) (all []*ts.Tensor) {
	for _, w := range weights {
		all = append(all, w.W, w.Scale, w.Pre, w.Zero, w.Bias)
	}
	return all
}
