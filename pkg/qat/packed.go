package qat

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Packed is a quantized projection as it is stored. Its forward pass dequantizes: the weight has the same bits as the
// fake-quantized one.
type Packed struct {
	Words      *nn.Param // <path>.weight_packed, I32 [out, ceil(in/per)]
	Scale      *nn.Param // <path>.weight_scale, BF16 (F16 and F32 are read too)
	Shape      *nn.Param // <path>.weight_shape, I64 [2]
	Zero       *nn.Param // <path>.weight_zero_point, asymmetric schemes only
	InputScale *nn.Param // <path>.input_scale [1], static activations only
	B          *nn.Param // <path>.bias, or nil

	plan      LayerPlan
	unpacking sync.Mutex // several goroutines may read one model
	dense     *ts.Tensor // the unpacked weight, kept after the first use when keep is set
	keep      bool
}

// newPacked declares the parameters of a layer, without storage. b is the bias, or nil.
func newPacked(p LayerPlan, b *nn.Param) (*Packed, error) {
	rows, groups, err := p.Weight.ParamShape(p.Out, p.In)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Path, err)
	}
	stored := func(name, dtype string, shape ...int64) *nn.Param {
		return &nn.Param{Name: p.Path + name, Shape: shape, DType: dtype, Frozen: true}
	}
	per, scales := p.Weight.PerWord(), []int64{rows, groups}
	if p.Weight.Granularity == quant.PerTensor {
		scales = []int64{1}
	}
	l := &Packed{plan: p, B: b}
	l.Words = stored(".weight_packed", "I32", p.Out, (p.In+per-1)/per)
	l.Scale = stored(".weight_scale", "BF16", scales...)
	l.Shape = stored(".weight_shape", "I64", 2)
	switch {
	case p.Weight.Symmetric:
	case p.Weight.Granularity == quant.PerTensor:
		l.Zero = stored(".weight_zero_point", "I8", 1)
	default:
		l.Zero = stored(".weight_zero_point", "I32", (rows+per-1)/per, groups)
	}
	if p.Activation.Mode == quant.StaticTensor {
		l.InputScale = stored(".input_scale", "BF16", 1)
	}
	return l, nil
}

// Pack is the packed form of the layer, with copies of everything but the bias, which both then hold.
func (l *Linear) Pack() (*Packed, error) {
	params, err := l.QParams()
	if err != nil {
		return nil, err
	}
	w, err := tensor.Floats(l.W.T)
	if err != nil {
		return nil, fmt.Errorf("qat: %s: %w", l.plan.Path, err)
	}
	pre := params.Scale
	if l.Pre != nil {
		if pre, err = effective(l.Pre); err != nil {
			return nil, fmt.Errorf("qat: %s: %w", l.plan.Path, err)
		}
	}
	packed, err := quant.PackDual(w, l.plan.Out, l.plan.In, pre, params, l.plan.Weight)
	if err != nil {
		return nil, fmt.Errorf("qat: %s: %w", l.plan.Path, err)
	}
	p, err := newPacked(l.plan, l.B)
	if err != nil {
		return nil, err
	}
	if err := p.fill(packed, l); err != nil {
		return nil, fmt.Errorf("qat: %s: %w", l.plan.Path, err)
	}
	return p, nil
}

// fill makes the stored tensors of a packed weight, on the device of l's master.
func (p *Packed) fill(w *quant.Packed, l *Linear) error {
	return tensor.Run(func(s *tensor.Scope) error {
		device, err := l.W.T.Device()
		if err != nil {
			return err
		}
		set := func(p *nn.Param, dtype gotch.DType, t *ts.Tensor) {
			p.Set(s.Release(s.ToDevice(s.To(t, dtype), device)))
		}
		words, err := int32s(w.Words, p.Words.Shape)
		if err != nil {
			return err
		}
		set(p.Words, gotch.Int, s.Own(words))
		set(p.Scale, gotch.BFloat16, s.FromFloats(w.Params.Scale, p.Scale.Shape...))
		set(p.Shape, gotch.Int64, s.FromInts([]int64{w.N, w.K}, 2))
		if p.InputScale != nil {
			if l.uncalibrated {
				return fmt.Errorf("no input scale: calibrate before packing")
			}
			set(p.InputScale, gotch.BFloat16, quant.RoundScales(s, s.Detach(l.InputScale.T)))
		}
		if p.Zero == nil {
			return nil
		}
		if w.Scheme.Granularity == quant.PerTensor {
			offset := (w.Scheme.QMax() + 1) / 2
			set(p.Zero, gotch.Int8, s.FromInts([]int64{int64(w.Params.ZeroPoint[0] - offset)}, 1))
			return nil
		}
		packed, err := quant.PackZeroPoints(w.Params.ZeroPoint, w.Params.Rows, w.Params.Groups, w.Scheme)
		if err != nil {
			return err
		}
		zeros, err := int32s(packed, p.Zero.Shape)
		if err != nil {
			return err
		}
		set(p.Zero, gotch.Int, s.Own(zeros))
		return nil
	})
}

func int32s(v []int32, shape []int64) (*ts.Tensor, error) {
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], uint32(x))
	}
	return tensor.New(gotch.Int, shape, b)
}

// Path is the layer's place in the tree.
func (p *Packed) Path() string { return p.plan.Path }

// Plan is how the layer is quantized.
func (p *Packed) Plan() LayerPlan { return p.plan }

// stored are the parameters that there are, without the bias.
func (p *Packed) stored() (list []*nn.Param) {
	for _, q := range []*nn.Param{p.Words, p.Scale, p.Shape, p.Zero, p.InputScale} {
		if q != nil {
			list = append(list, q)
		}
	}
	return list
}

// Visit shows the parameters.
func (p *Packed) Visit(v nn.Visitor) {
	for _, q := range append(p.stored(), p.B) {
		q.Visit(v)
	}
}

// Forward is the linear layer of the quantized input and the dequantized weight, in x's dtype.
func (p *Packed) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	return p.product(c, p.input(c).Value(c.Scope, x))
}

// ForwardGroup quantizes an input that peers share once.
func (p *Packed) ForwardGroup(c *nn.Context, peers []nn.Projection, x *ts.Tensor) []*ts.Tensor {
	return forwardGroup(c, peers, x)
}

func (p *Packed) product(c *nn.Context, xq *ts.Tensor) *ts.Tensor {
	return linear(c, xq, p.Weight(c), p.B)
}

func (p *Packed) input(c *nn.Context) quant.Input {
	in := quant.Input{Scheme: p.plan.Activation, Factor: 1}
	if p.InputScale != nil {
		in.Scale = c.To(p.InputScale.T, gotch.Float)
	}
	return in
}

// Weight is the dequantized weight in float32. It belongs to c unless the layer keeps it ([KeepDense]).
func (p *Packed) Weight(c *nn.Context) *ts.Tensor {
	if p.keep {
		p.unpacking.Lock()
		defer p.unpacking.Unlock()
		if p.dense != nil {
			return p.dense
		}
	}
	var w *ts.Tensor
	nn.NoGrad(func() {
		c.Scope.Nest(func(s *tensor.Scope) { w = s.Promote(p.dequantize(s)) })
	})
	if p.keep {
		p.dense = c.Release(w)
	}
	return w
}

// dequantize is (u - z) * s with u and z as stored, that is both larger than the codes by the same offset.
func (p *Packed) dequantize(s *tensor.Scope) *ts.Tensor {
	sch, out, in := p.plan.Weight, p.plan.Out, p.plan.In
	rows, groups, err := sch.ParamShape(out, in)
	s.Check("dequantize", err)
	u := s.Narrow(unpack(s, p.Words.T, sch, 1), 1, 0, in)
	scale := s.Reshape(s.To(p.Scale.T, gotch.Float), rows, groups, 1)
	u = s.Reshape(u, rows, groups, -1)
	half := float64(int64(1) << (sch.Bits - 1))
	switch {
	case sch.Symmetric:
		u = s.AddScalar(u, -half)
	case sch.Granularity == quant.PerTensor:
		u = s.Sub(u, s.AddScalar(s.To(p.Zero.T, gotch.Float), half))
	default:
		z := s.Narrow(unpack(s, p.Zero.T, sch, 0), 0, 0, rows)
		u = s.Sub(u, s.Reshape(z, rows, groups, 1))
	}
	return s.Reshape(s.Mul(u, scale), out, in)
}

// unpack spreads words [a, b] along dim 0 or 1 into the unsigned numbers that they hold, as float32.
func unpack(s *tensor.Scope, words *ts.Tensor, sch quant.WeightScheme, dim int64) *ts.Tensor {
	per := sch.PerWord()
	shifts := make([]int32, per)
	for j := range shifts {
		shifts[j] = int32(j * sch.Bits)
	}
	device, err := words.Device()
	s.Check("unpack", err)
	constant := func(v []int32) *ts.Tensor {
		return s.ToDevice(s.Must(int32s(v, []int64{int64(len(v))})), device)
	}
	shift, mask := constant(shifts), constant([]int32{1<<sch.Bits - 1})
	shape := s.Shape(words)
	w := s.Unsqueeze(words, dim+1)
	if dim == 0 {
		shift = s.Reshape(shift, per, 1)
	}
	u := s.Must(s.Must(w.BitwiseRightShift(shift, false)).BitwiseAndTensor(mask, false))
	shape[dim] *= per
	return s.To(s.Reshape(u, shape...), gotch.Float)
}

// KeepDense makes the packed layers of m keep their dequantized weight after its first use, which takes the memory of a
// float32 model and spares the unpacking; off, it frees what they kept. Call it after the parameters are loaded.
func KeepDense(m nn.Module, on bool) {
	for _, s := range nn.Slots(m) {
		if p, ok := s.P.(*Packed); ok {
			p.keep = on
			if p.dense != nil {
				p.dense.Drop()
				p.dense = nil
			}
		}
	}
}
