package qat

import (
	"fmt"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Linear is a fake-quantized projection: masters, and a forward pass with their quantized values. Scales are float32; so
// are weights unless Config.Masters says otherwise.
type Linear struct {
	W          *nn.Param // <path>.weight [out, in], the master
	Scale      *nn.Param // <path>.weight_scale [rows, groups], the master; its value on the grid is what counts
	Pre        *nn.Param // <path>.weight_quant_scale [rows, groups], with two scales the one that quantizes
	Zero       *nn.Param // <path>.weight_zero_point, asymmetric schemes only
	InputScale *nn.Param // <path>.input_scale [1], static activations only
	B          *nn.Param // <path>.bias [out], or nil

	plan LayerPlan
	mode mode
	// uncalibrated: the input scale has no value yet and is no parameter of the tree.
	uncalibrated bool
}

// mode is how a layer trains; what it computes when it is packed does not depend on it.
type mode struct {
	learn    bool // scales are trained
	lsq      bool // their gradients have LSQ's factor
	dual     bool // one scale quantizes, another dequantizes
	products quant.Products
}

// newLinear declares the parameters of a layer, without storage. b is the bias of the float layer, or nil.
func newLinear(p LayerPlan, m mode, b *nn.Param) (*Linear, error) {
	rows, groups, err := p.Weight.ParamShape(p.Out, p.In)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Path, err)
	}
	scale := func(name string, shape ...int64) *nn.Param {
		return &nn.Param{Name: p.Path + name, Shape: shape, DType: "F32", Frozen: !m.learn, Scale: true}
	}
	if p.Activation.Mode == quant.ActivationNone {
		m.products.Integer = false // an override may leave a layer's input in float
	}
	l := &Linear{plan: p, mode: m, B: b}
	l.W = &nn.Param{Name: p.Path + ".weight", Shape: []int64{p.Out, p.In}, DType: "F32"}
	l.Scale = scale(".weight_scale", rows, groups)
	if m.dual {
		l.Pre = scale(".weight_quant_scale", rows, groups)
	}
	if !p.Weight.Symmetric {
		l.Zero = scale(".weight_zero_point", rows, groups)
	}
	if p.Activation.Mode == quant.StaticTensor {
		l.InputScale = scale(".input_scale", 1)
		l.uncalibrated = true
	}
	return l, nil
}

// Path is the layer's place in the tree.
func (l *Linear) Path() string { return l.plan.Path }

// Plan is how the layer is quantized.
func (l *Linear) Plan() LayerPlan { return l.plan }

// Visit shows the parameters; an input scale is one once it has been calibrated.
func (l *Linear) Visit(v nn.Visitor) {
	l.W.Visit(v)
	l.Scale.Visit(v)
	l.Pre.Visit(v)
	l.Zero.Visit(v)
	if !l.uncalibrated {
		l.InputScale.Visit(v)
	}
	l.B.Visit(v)
}

// Forward is the linear layer of the quantized input and the quantized weight, [..., in] to [..., out], in x's dtype.
func (l *Linear) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	return quant.Linear(c.Scope, x, l.input(c), l.mode.products, l.master())[0]
}

// ForwardGroup quantizes an input that peers share once.
func (l *Linear) ForwardGroup(c *nn.Context, peers []nn.Projection, x *ts.Tensor) []*ts.Tensor {
	masters := make([]quant.Master, len(peers))
	for i, p := range peers {
		q, ok := p.(*Linear)
		if !ok || q.plan.Activation != l.plan.Activation || q.mode.products != l.mode.products || q.InputScale != nil {
			return forwardGroup(c, peers, x)
		}
		masters[i] = q.master()
	}
	return quant.Linear(c.Scope, x, l.input(c), l.mode.products, masters...)
}

// Weight is the quantized weight in float32.
func (l *Linear) Weight(c *nn.Context) *ts.Tensor { return l.master().Value(c.Scope) }

func (l *Linear) master() quant.Master {
	value := func(p *nn.Param) *ts.Tensor {
		if p == nil {
			return nil
		}
		return p.T
	}
	m := quant.Master{
		W: l.W.T, Scale: l.Scale.T, Pre: value(l.Pre), Zero: value(l.Zero), Bias: value(l.B), Scheme: l.plan.Weight, Factor: 1,
	}
	if l.mode.lsq {
		m.Factor = quant.LSQFactor(l.W.NumElements()/l.Scale.NumElements(), l.plan.Weight.QMax())
	}
	return m
}

func (l *Linear) product(c *nn.Context, xq *ts.Tensor) *ts.Tensor {
	return linear(c, xq, l.Weight(c), l.B)
}

func (l *Linear) input(c *nn.Context) quant.Input {
	in := quant.Input{Scheme: l.plan.Activation, Factor: 1}
	if l.InputScale == nil {
		return in
	}
	if l.uncalibrated {
		c.Fail("qat", "%s has no input scale: calibrate before the first forward pass", l.plan.Path)
	}
	in.Scale = l.InputScale.T
	if l.mode.lsq {
		in.Factor = quant.LSQFactor(l.plan.In, l.plan.Activation.QMax())
	}
	return in
}

// quantized is what Linear and Packed share.
type quantized interface {
	nn.Projection
	input(c *nn.Context) quant.Input
	product(c *nn.Context, xq *ts.Tensor) *ts.Tensor
}

// forwardGroup serves peers whose input is quantized the same way; nil when it is not, as with static scales, which
// belong to one layer each.
func forwardGroup(c *nn.Context, peers []nn.Projection, x *ts.Tensor) []*ts.Tensor {
	all := make([]quantized, len(peers))
	var in quant.Input
	for i, p := range peers {
		q, ok := p.(quantized)
		if !ok {
			return nil
		}
		own := q.input(c)
		if own.Scheme.Mode == quant.StaticTensor || i > 0 && own.Scheme != in.Scheme {
			return nil
		}
		all[i], in = q, own
	}
	xq, ys := in.Value(c.Scope, x), make([]*ts.Tensor, len(peers))
	for i, q := range all {
		ys[i] = q.product(c, xq)
	}
	return ys
}

// linear multiplies in x's dtype.
func linear(c *nn.Context, x, w *ts.Tensor, b *nn.Param) *ts.Tensor {
	if w.DType() != x.DType() {
		w = c.To(w, x.DType())
	}
	if b == nil {
		return c.Linear(x, w, nil)
	}
	bias := b.T
	if bias.DType() != x.DType() {
		bias = c.To(bias, x.DType())
	}
	return c.Linear(x, w, bias)
}

// QParams are the effective scales and zero points: the masters, rounded. With two scales they are those that dequantize.
func (l *Linear) QParams() (p quant.QParams, err error) {
	p.Rows, p.Groups = l.Scale.Shape[0], l.Scale.Shape[1]
	if p.Scale, err = effective(l.Scale); err != nil || l.Zero == nil {
		return p, within(l.plan.Path, err)
	}
	err = tensor.Run(func(s *tensor.Scope) error {
		zeros, err := tensor.Ints(quant.RoundZeroPoints(s, s.Detach(l.Zero.T), l.plan.Weight))
		for _, z := range zeros {
			p.ZeroPoint = append(p.ZeroPoint, int32(z))
		}
		return err
	})
	return p, within(l.plan.Path, err)
}

// effective are the scales that masters stand for.
func effective(p *nn.Param) (scales []float32, err error) {
	err = tensor.Run(func(s *tensor.Scope) error {
		scales, err = tensor.Floats(quant.RoundScales(s, s.Detach(p.T)))
		return err
	})
	return scales, err
}

// setQParams replaces the masters by p, on the device of the weight; two scales begin equal.
func (l *Linear) setQParams(p quant.QParams) error {
	if err := p.Validate(l.plan.Weight, l.plan.Out, l.plan.In); err != nil {
		return fmt.Errorf("%s: %w", l.plan.Path, err)
	}
	zeros := make([]float32, len(p.ZeroPoint))
	for i, z := range p.ZeroPoint {
		zeros[i] = float32(z)
	}
	if l.Pre != nil {
		if err := l.setMaster(l.Pre, p.Scale); err != nil {
			return err
		}
	}
	if err := l.setMaster(l.Scale, p.Scale); err != nil || l.Zero == nil {
		return err
	}
	return l.setMaster(l.Zero, zeros)
}

func (l *Linear) setMaster(p *nn.Param, v []float32) error { return setMaster(p, l.W.T, v) }

// setMaster gives p the values v, on w's device.
func setMaster(p *nn.Param, w *ts.Tensor, v []float32) error {
	return tensor.Run(func(s *tensor.Scope) error {
		device, err := w.Device()
		if err != nil {
			return err
		}
		p.Set(s.Release(s.ToDevice(s.FromFloats(v, p.Shape...), device)))
		return tensor.RequireGrad(p.T, !p.Frozen)
	})
}

// floatMaster is a float32 copy of t that owns its memory.
func floatMaster(t *ts.Tensor) (*ts.Tensor, error) { return masterOf(t, gotch.Float) }

// masterOf is a copy of t in dtype that owns its memory.
func masterOf(t *ts.Tensor, dtype gotch.DType) (out *ts.Tensor, err error) {
	err = tensor.Run(func(s *tensor.Scope) error {
		out = s.Release(s.Clone(s.Contiguous(s.To(s.Detach(t), dtype))))
		return tensor.RequireGrad(out, true)
	})
	return out, err
}
