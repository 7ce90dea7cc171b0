package tensor

import "github.com/sugarme/gotch/ts"

// Unfold is the windows of size entries of dim, step apart, as a new last dimension; a view. Dim shrinks to
// (n-size)/step + 1 windows.
func (s *Scope) Unfold(x *ts.Tensor, dim, size, step int64) *ts.Tensor {
	s.admit("unfold", x)
	t, err := x.Unfold(dim, size, step, false)
	return s.result("unfold", t, err, x)
}
