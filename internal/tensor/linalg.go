package tensor

import "github.com/sugarme/gotch/ts"

// Flip reverses the order along dims.
func (s *Scope) Flip(x *ts.Tensor, dims ...int64) *ts.Tensor {
	s.admit("flip", x)
	s.some("flip", dims)
	t, err := x.Flip(dims, false)
	return s.result("flip", t, err, x)
}

// Cholesky is the lower l with l·lᵀ = x, of which only the lower triangle is read; x [n, n] is float32 or float64. A
// matrix that is not positive definite is no error: at is then the order of the first leading minor that is not, else 0.
func (s *Scope) Cholesky(x *ts.Tensor) (l *ts.Tensor, at int64) {
	s.admit("cholesky", x)
	l, info, err := x.LinalgCholeskyEx(false, false, false)
	l = s.result("cholesky", l, err, x)
	v, err := Ints(s.Own(info))
	s.Check("cholesky", err)
	return l, v[0]
}

// SolveTriangular is a⁻¹·b for a triangular a [n, n], upper or lower, and b [n, m].
func (s *Scope) SolveTriangular(a, b *ts.Tensor, upper bool) *ts.Tensor {
	s.admit("solve_triangular", a, b)
	t, err := a.LinalgSolveTriangular(b, upper, true, false, false)
	return s.result("solve_triangular", t, err, a, b)
}
