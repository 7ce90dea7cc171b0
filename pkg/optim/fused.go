package optim

import (
	"fmt"
	"unsafe"

	"github.com/qakd/qakd/internal/native/adamw"
	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/shim"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// fused updates parameters on the CPU, all in one call: one pass over each one's memory.
func fused(s *tensor.Scope, states []*state, grads []*ts.Tensor, numbers []shim.AdamWStep) error {
	list := make([]adamw.Param, len(states))
	for i, st := range states {
		var err error
		if list[i], err = st.kernel(s, grads[i], numbers[i]); err != nil {
			return fmt.Errorf("optim: parameter %q: %w", st.param.Name, err)
		}
	}
	if err := adamw.Update(list, ""); err != nil {
		return fmt.Errorf("optim: %w", err)
	}
	for _, st := range states {
		if st.master != nil && st.param.T.DType() != gotch.BFloat16 {
			s.CopyInto(s.Detach(st.param.T), s.To(st.master, st.param.T.DType()))
		}
		none := s.Narrow(s.Reshape(s.Detach(st.param.T), -1), 0, 0, 0)
		s.CopyInto(none, none) // libtorch counts writes: a graph that saved the old value must notice
	}
	return nil
}

// kernel describes the update of one parameter in memory.
func (st *state) kernel(s *tensor.Scope, grad *ts.Tensor, n shim.AdamWStep) (adamw.Param, error) {
	w := st.param.T
	shape := s.Shape(w)
	for _, m := range []moment{st.m, st.v} {
		if got := s.Shape(m.value); elements(got) != elements(shape) {
			return adamw.Param{}, fmt.Errorf("its shape is %v, that of its moments %v", shape, got)
		}
	}
	if got := s.Shape(grad); elements(got) != elements(shape) {
		return adamw.Param{}, fmt.Errorf("its shape is %v, that of its gradient %v", shape, got)
	}
	if grad.DType() == gotch.Half {
		grad = s.To(grad, gotch.Float)
	}
	grad = s.Contiguous(grad)
	p := adamw.Param{N: elements(shape), GradBF16: grad.DType() == gotch.BFloat16}
	p.GradScale, p.Beta2, p.Eps = float32(n.GradScale), float32(n.Beta2), float32(n.Eps)
	p.Keep1, p.Keep2 = float32(1-n.Beta1), float32(1-n.Beta2)
	p.Decay, p.StepSize, p.Root2 = corrected(n)
	var err error
	at := func(t *ts.Tensor) unsafe.Pointer {
		if t == nil || err != nil {
			return nil
		}
		var whole bool
		if whole, err = t.IsContiguous(); err == nil && !whole {
			err = fmt.Errorf("is not contiguous")
		}
		if err != nil {
			return nil
		}
		var at unsafe.Pointer
		at, err = t.DataPtr()
		return at
	}
	p.Weight, p.Grad = at(w), at(grad)
	if st.master != nil {
		p.Weight = at(st.master)
		if w.DType() == gotch.BFloat16 {
			p.Copy = at(w)
		}
	}
	if st.stochastic {
		p.Stochastic, p.Key = true, st.roundingKey()
	}
	if st.m.largest == nil {
		p.M, p.V = at(st.m.value), at(st.v.value)
	} else {
		p.MCodes, p.MLargest, p.VCodes, p.VLargest = at(st.m.value), at(st.m.largest), at(st.v.value), at(st.v.largest)
	}
	return p, err
}

// roundingKey is a function of seed, parameter and step: there is no generator whose state a resume would need.
func (st *state) roundingKey() uint64 { return rng.At(st.seed, 0, uint64(st.step)).Uint64() }
