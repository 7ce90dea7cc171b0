package qat

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Module is a layer as gotch's ts.Module and ts.ModuleT, to stand where a gotch layer stood.
type Module struct{ P nn.Projection }

// Gotch wraps a fake-quantized or packed layer.
func Gotch(p nn.Projection) Module { return Module{p} }

// Forward maps x [..., in] to [..., out], which the caller owns. Gotch's interface has no error: a failed operation
// panics with *tensor.OpError, the error that Apply returns.
func (m Module) Forward(x *ts.Tensor) *ts.Tensor {
	y, err := m.Apply(x)
	new(tensor.Scope).Check("qat", err)
	return y
}

// ForwardT is Forward: training and evaluation compute the same.
func (m Module) ForwardT(x *ts.Tensor, train bool) *ts.Tensor { return m.Forward(x) }

// Apply is Forward with an error.
func (m Module) Apply(x *ts.Tensor) (y *ts.Tensor, err error) {
	if x == nil {
		return nil, fmt.Errorf("qat: input is nil")
	}
	if ok, err := x.Defined(); err != nil || !ok {
		return nil, fmt.Errorf("qat: input is an undefined tensor") // libtorch would abort on its dtype
	}
	err = nn.Run(func(c *nn.Context) error {
		y = c.Release(m.P.Forward(c, x))
		return nil
	})
	return y, err
}

// Trainable lists the tensors of m that train, leaves that require a gradient, in the order of the tree. They stay the
// same objects until the layer is converted or loaded again, so an optimizer may hold them.
func Trainable(m nn.Module) ([]*ts.Tensor, error) {
	var out []*ts.Tensor
	for _, p := range nn.Params(m) {
		if p.Frozen {
			continue
		}
		if p.T == nil {
			return nil, fmt.Errorf("qat: parameter %q has no value", p.Name)
		}
		if err := tensor.RequireGrad(p.T, true); err != nil {
			return nil, fmt.Errorf("qat: parameter %q: %w", p.Name, err)
		}
		out = append(out, p.T)
	}
	return out, nil
}

// Layers are named layers without a model around them: a module, so that Convert, Trainable and SaveLayers take it.
type Layers []*nn.Slot

// NewLayers collects fake-quantized layers under their paths.
func NewLayers(layers ...*Linear) Layers {
	var out Layers
	for _, l := range layers {
		out = append(out, &nn.Slot{Path: l.plan.Path, In: l.plan.In, Out: l.plan.Out, P: l})
	}
	return out
}

// Visit shows the slots.
func (l Layers) Visit(v nn.Visitor) {
	for _, s := range l {
		s.Visit(v)
	}
}

// Layer is the layer at path as gotch's module; it must be asked for again after Convert.
func (l Layers) Layer(path string) (Module, error) {
	for _, s := range l {
		if s.Path == path {
			return Gotch(s.P), nil
		}
	}
	return Module{}, fmt.Errorf("qat: no layer %q", path)
}
