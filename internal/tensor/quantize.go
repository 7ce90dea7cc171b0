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

// Fusible tells whether the shim's passes can read x: contiguous float32 in the CPU's memory.
func (s *Scope) Fusible(x *ts.Tensor) bool {
	device := s.Device(x)
	contiguous, err := x.IsContiguous()
	s.Check("contiguous", err)
	dtype := x.DType()
	runtime.KeepAlive(x)
	return dtype == gotch.Float && device.Name == gotch.CPU.Name && contiguous
}
