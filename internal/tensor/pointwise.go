package tensor

import "github.com/sugarme/gotch/ts"

// Neg is -x.
func (s *Scope) Neg(x *ts.Tensor) *ts.Tensor { return s.unary("neg", (*ts.Tensor).Neg, x) }

// Exp is exp(x), element by element.
func (s *Scope) Exp(x *ts.Tensor) *ts.Tensor { return s.unary("exp", (*ts.Tensor).Exp, x) }

// Log is log(x), element by element.
func (s *Scope) Log(x *ts.Tensor) *ts.Tensor { return s.unary("log", (*ts.Tensor).Log, x) }

// Sqrt is sqrt(x), element by element.
func (s *Scope) Sqrt(x *ts.Tensor) *ts.Tensor { return s.unary("sqrt", (*ts.Tensor).Sqrt, x) }

// Rsqrt is rsqrt(x), element by element.
func (s *Scope) Rsqrt(x *ts.Tensor) *ts.Tensor { return s.unary("rsqrt", (*ts.Tensor).Rsqrt, x) }

// Abs is abs(x), element by element.
func (s *Scope) Abs(x *ts.Tensor) *ts.Tensor { return s.unary("abs", (*ts.Tensor).Abs, x) }

// Sign is sign(x), element by element.
func (s *Scope) Sign(x *ts.Tensor) *ts.Tensor { return s.unary("sign", (*ts.Tensor).Sign, x) }

// Round rounds half to even.
func (s *Scope) Round(x *ts.Tensor) *ts.Tensor { return s.unary("round", (*ts.Tensor).Round, x) }

// Floor is floor(x), element by element.
func (s *Scope) Floor(x *ts.Tensor) *ts.Tensor { return s.unary("floor", (*ts.Tensor).Floor, x) }

// Sigmoid is sigmoid(x), element by element.
func (s *Scope) Sigmoid(x *ts.Tensor) *ts.Tensor { return s.unary("sigmoid", (*ts.Tensor).Sigmoid, x) }

// Silu is silu(x), element by element.
func (s *Scope) Silu(x *ts.Tensor) *ts.Tensor { return s.unary("silu", (*ts.Tensor).Silu, x) }

// Tanh is tanh(x), element by element.
func (s *Scope) Tanh(x *ts.Tensor) *ts.Tensor { return s.unary("tanh", (*ts.Tensor).Tanh, x) }

// Cos is cos(x), element by element.
func (s *Scope) Cos(x *ts.Tensor) *ts.Tensor { return s.unary("cos", (*ts.Tensor).Cos, x) }

// Sin is sin(x), element by element.
func (s *Scope) Sin(x *ts.Tensor) *ts.Tensor { return s.unary("sin", (*ts.Tensor).Sin, x) }

// Square is square(x), element by element.
func (s *Scope) Square(x *ts.Tensor) *ts.Tensor { return s.unary("square", (*ts.Tensor).Square, x) }

// Detach is x outside the graph.
func (s *Scope) Detach(x *ts.Tensor) *ts.Tensor { return s.unary("detach", (*ts.Tensor).Detach, x) }

// Contiguous is x in row-major memory.
func (s *Scope) Contiguous(x *ts.Tensor) *ts.Tensor {
	return s.unary("contiguous", (*ts.Tensor).Contiguous, x)
}

// Isfinite is true where x is neither NaN nor infinite.
func (s *Scope) Isfinite(x *ts.Tensor) *ts.Tensor {
	return s.unary("isfinite", (*ts.Tensor).Isfinite, x)
}

// LogicalNot is true where x is zero.
func (s *Scope) LogicalNot(x *ts.Tensor) *ts.Tensor {
	return s.unary("logical_not", (*ts.Tensor).LogicalNot, x)
}

// Relu is relu(x), element by element.
func (s *Scope) Relu(x *ts.Tensor) *ts.Tensor { return s.unary("relu", (*ts.Tensor).Relu, x) }

// Elu is x where x > 0, else exp(x) - 1.
func (s *Scope) Elu(x *ts.Tensor) *ts.Tensor { return s.unary("elu", (*ts.Tensor).Elu, x) }

// Gelu is x·Φ(x) with the normal distribution itself (erf), not its tanh approximation.
func (s *Scope) Gelu(x *ts.Tensor) *ts.Tensor {
	s.admit("gelu", x)
	t, err := x.Gelu("none", false)
	return s.result("gelu", t, err, x)
}

// Add is x + y.
func (s *Scope) Add(x, y *ts.Tensor) *ts.Tensor { return s.binary("add", (*ts.Tensor).Add, x, y) }

// Sub is x - y.
func (s *Scope) Sub(x, y *ts.Tensor) *ts.Tensor { return s.binary("sub", (*ts.Tensor).Sub, x, y) }

// Mul is x * y.
func (s *Scope) Mul(x, y *ts.Tensor) *ts.Tensor { return s.binary("mul", (*ts.Tensor).Mul, x, y) }

// Div is x / y.
func (s *Scope) Div(x, y *ts.Tensor) *ts.Tensor { return s.binary("div", (*ts.Tensor).Div, x, y) }

// Maximum is the larger, element by element.
func (s *Scope) Maximum(x, y *ts.Tensor) *ts.Tensor {
	return s.binary("maximum", (*ts.Tensor).Maximum, x, y)
}

// Minimum is the smaller, element by element.
func (s *Scope) Minimum(x, y *ts.Tensor) *ts.Tensor {
	return s.binary("minimum", (*ts.Tensor).Minimum, x, y)
}

// Matmul is the (batched) matrix product.
func (s *Scope) Matmul(x, y *ts.Tensor) *ts.Tensor {
	return s.binary("matmul", (*ts.Tensor).Matmul, x, y)
}

// Eq is x == y, element by element.
func (s *Scope) Eq(x, y *ts.Tensor) *ts.Tensor { return s.binary("eq", (*ts.Tensor).EqTensor, x, y) }

// Ge is x >= y, element by element.
func (s *Scope) Ge(x, y *ts.Tensor) *ts.Tensor { return s.binary("ge", (*ts.Tensor).GeTensor, x, y) }

// Le is x <= y, element by element.
func (s *Scope) Le(x, y *ts.Tensor) *ts.Tensor { return s.binary("le", (*ts.Tensor).LeTensor, x, y) }

// Gt is x > y, element by element.
func (s *Scope) Gt(x, y *ts.Tensor) *ts.Tensor { return s.binary("gt", (*ts.Tensor).GtTensor, x, y) }

// Lt is x < y, element by element.
func (s *Scope) Lt(x, y *ts.Tensor) *ts.Tensor { return s.binary("lt", (*ts.Tensor).LtTensor, x, y) }

// And is the logical and of two masks.
func (s *Scope) And(x, y *ts.Tensor) *ts.Tensor {
	return s.binary("and", (*ts.Tensor).LogicalAnd, x, y)
}

// Or is the logical or of two masks.
func (s *Scope) Or(x, y *ts.Tensor) *ts.Tensor { return s.binary("or", (*ts.Tensor).LogicalOr, x, y) }

// AddScalar is x + v.
func (s *Scope) AddScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("add_scalar", (*ts.Tensor).AddScalar, x, v)
}

// SubScalar is x - v.
func (s *Scope) SubScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("sub_scalar", (*ts.Tensor).SubScalar, x, v)
}

// MulScalar is x * v.
func (s *Scope) MulScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("mul_scalar", (*ts.Tensor).MulScalar, x, v)
}

// DivScalar is x / v.
func (s *Scope) DivScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("div_scalar", (*ts.Tensor).DivScalar, x, v)
}

// EqScalar is the mask x == v.
func (s *Scope) EqScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("eq_scalar", (*ts.Tensor).Eq, x, v)
}

// NeScalar is the mask x != v.
func (s *Scope) NeScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("ne_scalar", (*ts.Tensor).Ne, x, v)
}

// GeScalar is the mask x >= v.
func (s *Scope) GeScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("ge_scalar", (*ts.Tensor).Ge, x, v)
}

// LeScalar is the mask x <= v.
func (s *Scope) LeScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("le_scalar", (*ts.Tensor).Le, x, v)
}

// GtScalar is the mask x > v.
func (s *Scope) GtScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("gt_scalar", (*ts.Tensor).Gt, x, v)
}

// LtScalar is the mask x < v.
func (s *Scope) LtScalar(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("lt_scalar", (*ts.Tensor).Lt, x, v)
}

// Pow is x to the power v.
func (s *Scope) Pow(x *ts.Tensor, v float64) *ts.Tensor {
	return s.withScalar("pow", (*ts.Tensor).PowTensorScalar, x, v)
}

// Clamp limits x to [lo, hi].
func (s *Scope) Clamp(x *ts.Tensor, lo, hi float64) *ts.Tensor {
	s.admit("clamp", x)
	t, err := x.Clamp(s.scalar(lo), s.scalar(hi), false)
	return s.result("clamp", t, err, x)
}

// Where is x where the mask is true, else y.
func (s *Scope) Where(mask, x, y *ts.Tensor) *ts.Tensor {
	s.admit("where", mask, x, y)
	t, err := x.WhereSelf(mask, y, false)
	return s.result("where", t, err, mask, x, y)
}

// MaskedFill is v where the mask is true, else x.
func (s *Scope) MaskedFill(x, mask *ts.Tensor, v float64) *ts.Tensor {
	s.admit("masked_fill", x, mask)
	t, err := x.MaskedFill(mask, s.scalar(v), false)
	return s.result("masked_fill", t, err, x, mask)
}
