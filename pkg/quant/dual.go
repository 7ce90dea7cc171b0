package quant

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// PackDual quantizes w [n, k] with the scales of pre and packs its codes; the packed weight has the scales of post. Both
// have the same zero points.
func PackDual(w []float32, n, k int64, pre []float32, post QParams, sch WeightScheme) (*Packed, error) {
	p, err := Pack(w, n, k, QParams{Rows: post.Rows, Groups: post.Groups, Scale: pre, ZeroPoint: post.ZeroPoint}, sch)
	if err != nil {
		return nil, err
	}
	if err := post.Validate(sch, n, k); err != nil {
		return nil, err
	}
	p.Params = post
	return p, nil
}

// fakeQuantizeDual is the value of w [N, K] under two scales, in tensor operations: pre makes the codes, post the value.
func fakeQuantizeDual(s *tensor.Scope, w, pre, post, zp *ts.Tensor, sch WeightScheme) *ts.Tensor {
	shape := s.Shape(w)
	if len(shape) != 2 {
		s.Fail("fake_quantize", "weight %v, want [out, in]", shape)
	}
	rows, groups, err := sch.ParamShape(shape[0], shape[1])
	s.Check("fake_quantize", err)
	var out *ts.Tensor
	s.Nest(func(in *tensor.Scope) {
		x := in.Reshape(in.To(w, gotch.Float), rows, groups, -1)
		pre, post := in.Reshape(RoundScales(in, pre), rows, groups, 1), in.Reshape(RoundScales(in, post), rows, groups, 1)
		var zero *ts.Tensor
		if zp != nil {
			zero = in.Reshape(RoundZeroPoints(in, zp, sch), rows, groups, 1)
		}
		y := dualOperations(in, x, pre, post, zero, float64(sch.QMin()), float64(sch.QMax()))
		out = in.Promote(in.Reshape(y, shape...))
	})
	return out
}

func dualOperations(s *tensor.Scope, x, pre, post, zero *ts.Tensor, qmin, qmax float64) *ts.Tensor {
	exact := s.Div(s.Detach(x), s.Detach(pre))
	q, offset := s.Round(exact), (*ts.Tensor)(nil)
	if zero != nil {
		offset = s.Detach(zero)
		q = s.Add(q, offset)
	}
	clamped := s.Clamp(q, qmin, qmax)
	steps := s.AddScalar(clamped, 0)
	if zero != nil {
		steps = s.Sub(clamped, offset)
	}
	value := s.Mul(steps, s.Detach(post))
	if !records(s, x, pre, post, zero) {
		return value
	}
	inside := s.Eq(q, clamped)
	outside := s.LogicalNot(inside)
	ratio := s.Div(s.Detach(post), s.Detach(pre))
	proxy := s.Add(s.Mul(x, s.Mul(s.To(inside, gotch.Float), ratio)), s.Mul(post, steps))
	proxy = s.Sub(proxy, s.Mul(pre, s.Mul(s.MaskedFill(exact, outside, 0), ratio)))
	if zero != nil {
		proxy = s.Sub(proxy, s.Mul(zero, s.Mul(s.To(outside, gotch.Float), s.Detach(post))))
	}
	return s.StraightThrough(value, proxy)
}
