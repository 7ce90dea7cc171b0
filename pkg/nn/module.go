package nn

import "github.com/sugarme/gotch/ts"

// Initial values of a parameter that is not loaded.
type Initial int

const (
	Normal Initial = iota // N(0, std²): embeddings
	FanIn                 // N(0, 1/n), n the product of all sizes but the first: matrices [out, in], kernels [out, in, k]
	Ones
	Zeros
	Constant // Param.Fill
)

// Param is a named tensor of a module. T is nil until it is loaded or initialized; the module owns it.
type Param struct {
	Name    string // the full checkpoint key
	Shape   []int64
	DType   string // safetensors name of a dtype that loading must keep ("I32"); "" follows LoadOptions
	Initial Initial
	Fill    float64 // the value of a Constant
	Frozen  bool    // not trained
	Outside bool    // the checkpoint has it, and its value is held elsewhere: Load checks that it is there and leaves T nil
	Scale   bool    // a learned quantization scale: the optimizer gives it a rate of its own and no decay
	T       *ts.Tensor
}

// NewParam declares a parameter without storage.
func NewParam(name string, init Initial, shape ...int64) *Param {
	return &Param{Name: name, Shape: shape, Initial: init}
}

// NewConstant declares a parameter that starts as v everywhere, without storage.
func NewConstant(name string, v float64, shape ...int64) *Param {
	return &Param{Name: name, Shape: shape, Initial: Constant, Fill: v}
}

// Set replaces the tensor and frees the one before. Params whose storage is not there yet have none to free.
func (p *Param) Set(t *ts.Tensor) {
	if p.T != nil && p.T != t {
		p.T.Drop()
	}
	p.T = t
}

// value is the tensor; nil for a nil parameter.
func (p *Param) value() *ts.Tensor {
	if p == nil {
		return nil
	}
	return p.T
}

// NumElements is the product of the shape.
func (p *Param) NumElements() int64 {
	n := int64(1)
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Visitor is shown a tree's parts in order. Nil functions skip their kind.
type Visitor struct {
	Param     func(*Param)
	Slot      func(*Slot)
	Embedding func(*Embedding)
	Decoder   func(*Decoder)
}

// Module is a part of the tree.
type Module interface {
	Visit(v Visitor)
}

// Visit shows p itself; a nil parameter (an absent bias) is passed over.
func (p *Param) Visit(v Visitor) {
	if p != nil && v.Param != nil {
		v.Param(p)
	}
}

// Params lists m's parameters in the order of the tree.
func Params(m Module) []*Param {
	var out []*Param
	m.Visit(Visitor{Param: func(p *Param) { out = append(out, p) }})
	return out
}

// Slots lists m's projections in the order of the tree.
func Slots(m Module) []*Slot {
	var out []*Slot
	m.Visit(Visitor{Slot: func(s *Slot) { out = append(out, s) }})
	return out
}

// Decoders lists m's decoders in the order of the tree.
func Decoders(m Module) []*Decoder {
	var out []*Decoder
	m.Visit(Visitor{Decoder: func(d *Decoder) { out = append(out, d) }})
	return out
}

// Close frees m's parameters.
func Close(m Module) {
	for _, p := range Params(m) {
		p.Set(nil)
	}
}
