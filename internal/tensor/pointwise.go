package tensor

import "github.com/sugarme/gotch/ts"

// Neg is neg(x), element by element.
func (s *Scope) Neg(x *ts.Tensor) *ts.Tensor {
	t, err := x.Neg(false)
	return s.result("neg", t, err, x)
}

// Exp is exp(x), element by element.
func (s *Scope) Exp(x *ts.Tensor) *ts.Tensor {
	t, err := x.Exp(false)
	return s.result("exp", t, err, x)
}

// Log is log(x), element by element.
func (s *Scope) Log(x *ts.Tensor) *ts.Tensor {
	t, err := x.Log(false)
	return s.result("log", t, err, x)
}

// Sqrt is sqrt(x), element by element.
func (s *Scope) Sqrt(x *ts.Tensor) *ts.Tensor {
	t, err := x.Sqrt(false)
	return s.result("sqrt", t, err, x)
}

// Rsqrt is rsqrt(x), element by element.
func (s *Scope) Rsqrt(x *ts.Tensor) *ts.Tensor {
	t, err := x.Rsqrt(false)
	return s.result("rsqrt", t, err, x)
}

// Abs is abs(x), element by element.
func (s *Scope) Abs(x *ts.Tensor) *ts.Tensor {
	t, err := x.Abs(false)
	return s.result("abs", t, err, x)
}

// Sign is sign(x), element by element.
func (s *Scope) Sign(x *ts.Tensor) *ts.Tensor {
	t, err := x.Sign(false)
	return s.result("sign", t, err, x)
}

// Round rounds half to even.
func (s *Scope) Round(x *ts.Tensor) *ts.Tensor {
	t, err := x.Round(false)
	return s.result("round", t, err, x)
}

// Floor is floor(x), element by element.
func (s *Scope) Floor(x *ts.Tensor) *ts.Tensor {
	t, err := x.Floor(false)
	return s.result("floor", t, err, x)
}

// Sigmoid is sigmoid(x), element by element.
func (s *Scope) Sigmoid(x *ts.Tensor) *ts.Tensor {
	t, err := x.Sigmoid(false)
	return s.result("sigmoid", t, err, x)
}

// Silu is silu(x), element by element.
func (s *Scope) Silu(x *ts.Tensor) *ts.Tensor {
	t, err := x.Silu(false)
	return s.result("silu", t, err, x)
}

// Tanh is tanh(x), element by element.
func (s *Scope) Tanh(x *ts.Tensor) *ts.Tensor {
	t, err := x.Tanh(false)
	return s.result("tanh", t, err, x)
}

// Cos is cos(x), element by element.
func (s *Scope) Cos(x *ts.Tensor) *ts.Tensor {
	t, err := x.Cos(false)
	return s.result("cos", t, err, x)
}

// Sin is sin(x), element by element.
func (s *Scope) Sin(x *ts.Tensor) *ts.Tensor {
	t, err := x.Sin(false)
	return s.result("sin", t, err, x)
}

// Square is square(x), element by element.
func (s *Scope) Square(x *ts.Tensor) *ts.Tensor {
	t, err := x.Square(false)
	return s.result("square", t, err, x)
}

// Detach is x outside the graph.
func (s *Scope) Detach(x *ts.Tensor) *ts.Tensor {
	t, err := x.Detach(false)
	return s.result("detach", t, err, x)
}

// Contiguous is x in row-major memory.
func (s *Scope) Contiguous(x *ts.Tensor) *ts.Tensor {
	t, err := x.Contiguous(false)
	return s.result("contiguous", t, err, x)
}

// Isfinite is true where x is neither NaN nor infinite.
func (s *Scope) Isfinite(x *ts.Tensor) *ts.Tensor {
	t, err := x.Isfinite(false)
	return s.result("isfinite", t, err, x)
}

// LogicalNot is logicalnot(x), element by element.
func (s *Scope) LogicalNot(x *ts.Tensor) *ts.Tensor {
	t, err := x.LogicalNot(false)
	return s.result("logicalnot", t, err, x)
}

// Relu is relu(x), element by element.
func (s *Scope) Relu(x *ts.Tensor) *ts.Tensor {
	t, err := x.Relu(false)
	return s.result("relu", t, err, x)
}

// Add is x + y.
func (s *Scope) Add(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.Add(y, false)
	return s.result("add", t, err, x, y)
}

// Sub is x - y.
func (s *Scope) Sub(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.Sub(y, false)
	return s.result("sub", t, err, x, y)
}

// Mul is x * y.
func (s *Scope) Mul(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.Mul(y, false)
	return s.result("mul", t, err, x, y)
}

// Div is x / y.
func (s *Scope) Div(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.Div(y, false)
	return s.result("div", t, err, x, y)
}

// Maximum is the larger, element by element.
func (s *Scope) Maximum(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.Maximum(y, false)
	return s.result("maximum", t, err, x, y)
}

// Minimum is the smaller, element by element.
func (s *Scope) Minimum(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.Minimum(y, false)
	return s.result("minimum", t, err, x, y)
}

// Matmul is the (batched) matrix product.
func (s *Scope) Matmul(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.Matmul(y, false)
	return s.result("matmul", t, err, x, y)
}

// Eq is x == y, element by element.
func (s *Scope) Eq(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.EqTensor(y, false)
	return s.result("eq", t, err, x, y)
}

// Ge is x >= y, element by element.
func (s *Scope) Ge(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.GeTensor(y, false)
	return s.result("ge", t, err, x, y)
}

// Le is x <= y, element by element.
func (s *Scope) Le(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.LeTensor(y, false)
	return s.result("le", t, err, x, y)
}

// Gt is x > y, element by element.
func (s *Scope) Gt(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.GtTensor(y, false)
	return s.result("gt", t, err, x, y)
}

// Lt is x < y, element by element.
func (s *Scope) Lt(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.LtTensor(y, false)
	return s.result("lt", t, err, x, y)
}

// And is the logical and of two masks.
func (s *Scope) And(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.LogicalAnd(y, false)
	return s.result("and", t, err, x, y)
}

// Or is the logical or of two masks.
func (s *Scope) Or(x, y *ts.Tensor) *ts.Tensor {
	t, err := x.LogicalOr(y, false)
	return s.result("or", t, err, x, y)
}

// AddScalar is x + v.
func (s *Scope) AddScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.AddScalar(s.scalar(v), false)
	return s.result("addscalar", t, err, x)
}

// SubScalar is x - v.
func (s *Scope) SubScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.SubScalar(s.scalar(v), false)
	return s.result("subscalar", t, err, x)
}

// MulScalar is x * v.
func (s *Scope) MulScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.MulScalar(s.scalar(v), false)
	return s.result("mulscalar", t, err, x)
}

// DivScalar is x / v.
func (s *Scope) DivScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.DivScalar(s.scalar(v), false)
	return s.result("divscalar", t, err, x)
}

// EqScalar is the mask x == v.
func (s *Scope) EqScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.Eq(s.scalar(v), false)
	return s.result("eqscalar", t, err, x)
}

// NeScalar is the mask x != v.
func (s *Scope) NeScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.Ne(s.scalar(v), false)
	return s.result("nescalar", t, err, x)
}

// GeScalar is the mask x >= v.
func (s *Scope) GeScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.Ge(s.scalar(v), false)
	return s.result("gescalar", t, err, x)
}

// LeScalar is the mask x <= v.
func (s *Scope) LeScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.Le(s.scalar(v), false)
	return s.result("lescalar", t, err, x)
}

// GtScalar is the mask x > v.
func (s *Scope) GtScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.Gt(s.scalar(v), false)
	return s.result("gtscalar", t, err, x)
}

// LtScalar is the mask x < v.
func (s *Scope) LtScalar(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.Lt(s.scalar(v), false)
	return s.result("ltscalar", t, err, x)
}

// Pow is x to the power v.
func (s *Scope) Pow(x *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.PowTensorScalar(s.scalar(v), false)
	return s.result("pow", t, err, x)
}

// Clamp limits x to [lo, hi].
func (s *Scope) Clamp(x *ts.Tensor, lo, hi float64) *ts.Tensor {
	t, err := x.Clamp(s.scalar(lo), s.scalar(hi), false)
	return s.result("clamp", t, err, x)
}

// Where is x where the mask is true, else y.
func (s *Scope) Where(mask, x, y *ts.Tensor) *ts.Tensor {
	t, err := x.WhereSelf(mask, y, false)
	return s.result("where", t, err, mask, x, y)
}

// MaskedFill is v where the mask is true, else x.
func (s *Scope) MaskedFill(x, mask *ts.Tensor, v float64) *ts.Tensor {
	t, err := x.MaskedFill(mask, s.scalar(v), false)
	return s.result("masked_fill", t, err, x, mask)
}
