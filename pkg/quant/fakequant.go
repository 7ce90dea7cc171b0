package quant

import (
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// FakeQuantizeWeight is the quantized value of w [N, K] in float32, bit for bit that of [FakeQuantize], with the
// gradients of doc.go. scale is the float32 master [rows, groups] ([WeightScheme.ParamShape]); it is rounded to the grid
// here. zp is the float32 master of the zero points, rounded and clamped here, or nil when symmetric. The result belongs
// to s.
func FakeQuantizeWeight(s *tensor.Scope, w, scale, zp *ts.Tensor, sch WeightScheme) *ts.Tensor {
	shape := s.Shape(w)
	if len(shape) != 2 {
		s.Fail("fake_quantize", "weight %v, want [out, in]", shape)
	}
	rows, groups, err := sch.ParamShape(shape[0], shape[1])
	s.Check("fake_quantize", err)
	if (zp == nil) != sch.Symmetric {
		s.Fail("fake_quantize", "scheme %v with zero points: %v", sch, zp != nil)
	}
	var out *ts.Tensor
	s.Nest(func(in *tensor.Scope) {
		wg := in.Reshape(in.To(w, gotch.Float), rows, groups, -1)
		sg := in.Reshape(RoundScales(in, scale), rows, groups, 1)
		var zg *ts.Tensor
		if zp != nil {
			zg = in.Reshape(RoundZeroPoints(in, zp, sch), rows, groups, 1)
		}
		y := fakeQuantize(in, wg, sg, zg, float64(sch.QMin()), float64(sch.QMax()))
		out = in.Promote(in.Reshape(y, shape...))
	})
	return out
}

// FakeQuantizeActivation is the quantized value of x [..., K] in x's dtype, computed in float32. Mode none returns x;
// dynamic modes take no scale (nil); the static mode takes the float32 master of one element, rounded to the grid here.
func FakeQuantizeActivation(s *tensor.Scope, x, scale *ts.Tensor, a ActivationScheme) *ts.Tensor {
	if (scale != nil) != (a.Mode == StaticTensor) {
		s.Fail("fake_quantize", "activation mode %v with a scale: %v", a.Mode, scale != nil)
	}
	if a.Mode == ActivationNone {
		return x
	}
	qmax := float64(a.QMax())
	var out *ts.Tensor
	s.Nest(func(in *tensor.Scope) {
		xf := in.To(x, gotch.Float)
		var y *ts.Tensor
		if a.Mode == StaticTensor {
			y = fakeQuantize(in, xf, in.Reshape(RoundScales(in, scale), 1), nil, -qmax-1, qmax)
		} else {
			y = dynamic(in, xf, qmax)
		}
		out = in.Promote(in.To(y, x.DType()))
	})
	return out
}

// dynamic quantizes each token of x (float32) with its own scale; the gradient passes unchanged.
func dynamic(s *tensor.Scope, x *ts.Tensor, qmax float64) *ts.Tensor {
	var value *ts.Tensor
	if xd := s.Contiguous(s.Detach(x)); !composite && s.Fusible(xd) {
		value = s.QuantizeTokens(xd, qmax)
	} else {
		value = tokens(s, xd, qmax)
	}
	if !records(s, x) {
		return value
	}
	return s.StraightThrough(value, x)
}

// tokens is tensor.Scope.QuantizeTokens in tensor operations.
func tokens(s *tensor.Scope, xd *ts.Tensor, qmax float64) *ts.Tensor {
	// A divisor of one element on x's device: libtorch's CUDA kernel turns a scalar divisor into a product with 1/qmax.
	device, err := xd.Device()
	s.Check("fake_quantize", err)
	divisor := s.ToDevice(s.Full(gotch.Float, qmax, 1), device)
	scale := s.Clamp(s.Div(s.Amax(s.Abs(xd), true, -1), divisor), float64(minTokenScale), math.Inf(1))
	return s.Mul(s.AddScalar(s.Clamp(s.Round(s.Div(xd, scale)), -qmax-1, qmax), 0), scale)
}

// composite turns the one-pass kernels off; tests compare the two.
var composite bool

// fakeQuantize works on shapes that broadcast: x [..., width] with scale and zero [..., 1] already effective (rounded).
// Where memory allows it is one pass each way, elsewhere (a GPU) tensor operations with the same bits.
func fakeQuantize(s *tensor.Scope, x, scale, zero *ts.Tensor, qmin, qmax float64) *ts.Tensor {
	if x = s.Contiguous(x); !composite && s.Fusible(x) {
		return s.FakeQuantize(x, scale, zero, qmin, qmax)
	}
	return operations(s, x, scale, zero, qmin, qmax)
}

// operations is tensor.Scope.FakeQuantize in tensor operations.
func operations(s *tensor.Scope, x, scale, zero *ts.Tensor, qmin, qmax float64) *ts.Tensor {
	xd, sd := s.Detach(x), s.Detach(scale)
	exact := s.Div(xd, sd)
	q := s.Round(exact)
	if zero != nil {
		q = s.Add(q, s.Detach(zero))
	}
	clamped := s.Clamp(q, qmin, qmax)
	var steps *ts.Tensor // q - z
	if zero != nil {
		steps = s.Sub(clamped, s.Detach(zero))
	} else {
		steps = s.AddScalar(clamped, 0) // makes -0 a +0, as a stored code has no sign of zero
	}
	value := s.Mul(steps, sd)
	if !records(s, x, scale, zero) {
		return value
	}
	inside := s.Eq(q, clamped)
	outside := s.LogicalNot(inside)
	// The proxy's value is of no interest; its gradient is the law: mask for x, (q - z) - x/s or q - z for s, -s for z.
	var proxy *ts.Tensor
	if records(s, x) {
		proxy = s.Mul(x, s.To(inside, gotch.Float))
	}
	if records(s, scale) {
		slope := s.Sub(steps, s.MaskedFill(exact, outside, 0))
		proxy = plus(s, proxy, s.Mul(scale, slope))
	}
	if zero != nil && records(s, zero) {
		slope := s.Mul(s.Neg(s.To(outside, gotch.Float)), sd)
		proxy = plus(s, proxy, s.Mul(zero, slope))
	}
	return s.StraightThrough(value, proxy)
}

func plus(s *tensor.Scope, sum, t *ts.Tensor) *ts.Tensor {
	if sum == nil {
		return t
	}
	return s.Add(sum, t)
}

// RoundScales is RoundScale of every element in float32, with the gradient of the identity.
func RoundScales(s *tensor.Scope, scale *ts.Tensor) *ts.Tensor {
	d := s.Detach(scale)
	value := s.Clamp(s.To(s.To(d, gotch.BFloat16), gotch.Float), float64(ScaleMin), float64(ScaleMax))
	if !records(s, scale) {
		return value
	}
	return s.StraightThrough(value, scale)
}

// RoundZeroPoints rounds half to even and clamps to the scheme's codes, with the gradient of the identity.
func RoundZeroPoints(s *tensor.Scope, zp *ts.Tensor, sch WeightScheme) *ts.Tensor {
	value := s.Clamp(s.Round(s.Detach(zp)), float64(sch.QMin()), float64(sch.QMax()))
	if !records(s, zp) {
		return value
	}
	return s.StraightThrough(value, zp)
}

// ScaleGradient is t itself with its gradient multiplied by factor.
func ScaleGradient(s *tensor.Scope, t *ts.Tensor, factor float64) *ts.Tensor {
	if !records(s, t) || factor == 1 {
		return t
	}
	return s.StraightThrough(s.Detach(t), s.MulScalar(t, factor))
}

// LSQFactor is LSQ's gradient scale 1/sqrt(n * qmax) of scales that n weights of the scheme share (Esser et al., §2.2).
func LSQFactor(n int64, qmax int32) float64 { return 1 / math.Sqrt(float64(n)*float64(qmax)) }

// records tells whether an operation on any of these would be recorded for the backward pass.
func records(s *tensor.Scope, xs ...*ts.Tensor) bool {
	if !tensor.GradEnabled() {
		return false
	}
	for _, x := range xs {
		if x == nil {
			continue
		}
		on, err := x.RequiresGrad()
		s.Check("requires_grad", err)
		if on {
			return true
		}
	}
	return false
}
