package optim

import (
	"errors"
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
func (st *state) kernel(s *tensor.Scope, grad *ts.Tensor, n shim.AdamWStep) (p adamw.Param, err error) {
	if st.mapped != st.param.T { // the first time, or the tensor was replaced
		if err := st.mapMemory(s); err != nil {
			return p, err
		}
	}
	p = st.memory
	p.Grad, p.GradBF16, err = readable(s, grad)
	p.GradScale, p.Beta2, p.Eps = float32(n.GradScale), float32(n.Beta2), float32(n.Eps)
	p.Keep1, p.Keep2 = float32(1-n.Beta1), float32(1-n.Beta2)
	p.Decay, p.StepSize, p.Root2 = corrected(n)
	if st.stochastic {
		p.Key = st.roundingKey()
	}
	return p, err
}

// readable is where the kernels find a gradient on the CPU; s keeps what must be converted first.
func readable(s *tensor.Scope, grad *ts.Tensor) (at unsafe.Pointer, bf16 bool, err error) {
	if grad.DType() == gotch.Half {
		grad = s.To(grad, gotch.Float)
	}
	if whole, err := grad.IsContiguous(); err != nil || !whole {
		grad = s.Contiguous(grad)
	}
	at, err = grad.DataPtr()
	return at, grad.DType() == gotch.BFloat16, err
}

// squares are the sums of the squares of gradients, 0 for none.
func (o *AdamW) squares(s *tensor.Scope, grads []*ts.Tensor) ([]float64, error) {
	sums := make([]float64, len(grads))
	list := make([]adamw.Param, len(grads)) // zero for none, and for those of other devices
	for i, g := range grads {
		if g == nil {
			continue
		}
		var err error
		if o.composite || s.Device(g).Name != gotch.CPU.Name {
			sums[i], err = shim.SumSquares(g)
		} else {
			list[i].N = elements(o.states[i].param.Shape)
			list[i].Grad, list[i].GradBF16, err = readable(s, g)
		}
		if err != nil {
			return nil, fmt.Errorf("optim: gradient of %q: %w", o.states[i].param.Name, err)
		}
	}
	near, err := adamw.SumSquares(list, "")
	if err != nil {
		return nil, fmt.Errorf("optim: %w", err)
	}
	for i := range near {
		sums[i] += near[i]
	}
	return sums, nil
}

// mapMemory finds out where the parameter and its state are.
func (st *state) mapMemory(s *tensor.Scope) error {
	w, n := st.param.T, elements(st.param.Shape)
	p := adamw.Param{N: n, Stochastic: st.stochastic}
	var errs []error
	at := func(t *ts.Tensor) unsafe.Pointer {
		if t == nil {
			return nil
		}
		whole, err := t.IsContiguous()
		if err == nil && !whole {
			err = fmt.Errorf("is not contiguous")
		}
		where, err2 := t.DataPtr()
		errs = append(errs, err, err2)
		return where
	}
	for _, t := range []*ts.Tensor{w, st.m.value, st.v.value, st.master} {
		if t != nil && elements(s.Shape(t)) != n {
			errs = append(errs, fmt.Errorf("a tensor of it is %v, want the shape %v", s.Shape(t), st.param.Shape))
		}
	}
	p.Weight = at(w)
	if st.master != nil {
		p.Weight = at(st.master)
		if w.DType() == gotch.BFloat16 {
			p.Copy = at(w)
		}
	}
	if st.m.largest == nil {
		p.M, p.V = at(st.m.value), at(st.v.value)
	} else {
		p.MCodes, p.MLargest, p.VCodes, p.VLargest = at(st.m.value), at(st.m.largest), at(st.v.value), at(st.v.largest)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	st.memory, st.mapped = p, w
	return nil
}

// roundingKey is a function of seed, parameter and step: there is no generator whose state a resume would need.
func (st *state) roundingKey() uint64 { return rng.At(st.seed, 0, uint64(st.step)).Uint64() }
