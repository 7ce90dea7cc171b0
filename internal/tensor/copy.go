package tensor

import (
	"slices"

	"github.com/sugarme/gotch/ts"
)

// CopyInto writes src into dst, of the same shape, dtype and device; a view writes into the tensor that it shows. Nothing
// is recorded.
func (s *Scope) CopyInto(dst, src *ts.Tensor) {
	s.admit("copy_into", dst, src)
	if to, from := s.Shape(dst), s.Shape(src); !slices.Equal(to, from) || dst.DType() != src.DType() { // else libtorch resizes dst
		s.Fail("copy_into", "%v %v into %v %v, want the same shape and dtype", src.DType(), from, dst.DType(), to)
	}
	NoGrad(func() {
		t, err := src.Clone(dst, false) // gotch binds Clone to clone_out
		s.result("copy_into", t, err, dst, src)
	})
}
