package nn

import "github.com/sugarme/gotch/ts"

// Linear is the float projection. Gotch's own keeps the weight as a transposed view, which goes stale when a
// checkpoint replaces the tensor; this one holds [out, in] as stored.
type Linear struct {
	W *Param // [out, in]
	B *Param // [out], or nil
}

// NewLinear declares path.weight and, with bias, path.bias.
func NewLinear(path string, in, out int64, bias bool) *Linear {
	l := &Linear{W: NewParam(path+".weight", FanIn, out, in)}
	if bias {
		l.B = NewParam(path+".bias", Zeros, out)
	}
	return l
}

// Visit shows weight and bias.
func (l *Linear) Visit(v Visitor) {
	l.W.Visit(v)
	l.B.Visit(v)
}

// Forward is x·Wᵀ + b.
func (l *Linear) Forward(c *Context, x *ts.Tensor) *ts.Tensor { return c.Linear(x, l.W.T, l.Bias()) }

// Weight is W itself.
func (l *Linear) Weight(*Context) *ts.Tensor { return l.W.T }

// Bias is the bias tensor, or nil.
func (l *Linear) Bias() *ts.Tensor { return l.B.value() }
