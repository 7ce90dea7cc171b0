package tensor

import "github.com/sugarme/gotch/ts"

// Collect is what backward passes inside f accumulate for leaves, owned by s; nil where nothing flows. The gradients
// that the leaves had stay as they were. The same leaf must not be given twice.
func (s *Scope) Collect(leaves []*ts.Tensor, f func() error) (grads []*ts.Tensor, err error) {
	before := make([]*ts.Tensor, len(leaves))
	for i, l := range leaves {
		before[i] = s.Gradient(l)
		s.Check("collect", ZeroGrad(l))
	}
	defer func() { // also on a panic: a failed operation must not take gradients along
		for i, l := range leaves {
			if e := SetGradient(l, before[i]); err == nil {
				err = e
			}
		}
	}()
	if err := f(); err != nil {
		return nil, err
	}
	grads = make([]*ts.Tensor, len(leaves))
	for i, l := range leaves {
		grads[i] = s.Gradient(l)
	}
	return grads, nil
}

// Known is value, one element, bit for bit, with gradients that are known already: backward, xs[i] receives grads[i]
// times the gradient of the result. grads are constants of the shapes of xs; a nil one stands for zero.
func (s *Scope) Known(value *ts.Tensor, xs, grads []*ts.Tensor) *ts.Tensor {
	if len(xs) != len(grads) {
		s.Fail("known", "%d gradients for %d tensors", len(grads), len(xs))
	}
	var out *ts.Tensor
	s.Nest(func(in *Scope) {
		value := in.Detach(value)
		out = value
		var proxy *ts.Tensor // Σ ⟨x, grad⟩: its value is of no interest, its gradient is the law
		for i, x := range xs {
			if grads[i] == nil {
				continue
			}
			if have, want := in.Shape(grads[i]), in.Shape(x); numel(have) != numel(want) {
				in.Fail("known", "gradient %v of a tensor %v", have, want)
			}
			dot := in.To(in.Matmul(in.Reshape(x, 1, -1), in.Reshape(in.Detach(grads[i]), -1, 1)), value.DType())
			if proxy == nil {
				proxy = dot
			} else {
				proxy = in.Add(proxy, dot)
			}
		}
		if proxy != nil {
			out = in.StraightThrough(value, in.Reshape(proxy, in.Shape(value)...))
		}
		in.Promote(out)
	})
	return out
}
