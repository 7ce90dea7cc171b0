package tensor

import (
	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Shape is x's sizes.
func (s *Scope) Shape(x *ts.Tensor) []int64 {
	s.admit("shape", x)
	size, err := shim.Sizes(x)
	s.Check("shape", err)
	return size
}

// Cat joins along dim.
func (s *Scope) Cat(dim int64, xs ...*ts.Tensor) *ts.Tensor {
	s.admit("cat", xs...)
	if len(xs) == 0 {
		s.Fail("cat", "no tensors given, want at least one")
	}
	t, err := ts.Cat(xs, dim)
	return s.result("cat", t, err, xs...)
}

// Stack joins along a new dim.
func (s *Scope) Stack(dim int64, xs ...*ts.Tensor) *ts.Tensor {
	s.admit("stack", xs...)
	if len(xs) == 0 {
		s.Fail("stack", "no tensors given, want at least one")
	}
	t, err := ts.Stack(xs, dim)
	return s.result("stack", t, err, xs...)
}

// Narrow is n entries of dim from start, a view.
func (s *Scope) Narrow(x *ts.Tensor, dim, start, n int64) *ts.Tensor {
	s.admit("narrow", x)
	t, err := x.Narrow(dim, start, n, false)
	return s.result("narrow", t, err, x)
}

// Select is entry i of dim, which disappears.
func (s *Scope) Select(x *ts.Tensor, dim, i int64) *ts.Tensor {
	s.admit("select", x)
	t, err := x.Select(dim, i, false)
	return s.result("select", t, err, x)
}

// IndexSelect picks entries ids (int64, one dimension) of dim.
func (s *Scope) IndexSelect(x *ts.Tensor, dim int64, ids *ts.Tensor) *ts.Tensor {
	s.admit("index_select", x, ids)
	t, err := x.IndexSelect(dim, ids, false)
	return s.result("index_select", t, err, x, ids)
}

// Gather picks one entry of dim for each element of ids.
func (s *Scope) Gather(x *ts.Tensor, dim int64, ids *ts.Tensor) *ts.Tensor {
	s.admit("gather", x, ids)
	t, err := x.Gather(dim, ids, false, false)
	return s.result("gather", t, err, x, ids)
}

// Scatter is x with src written at ids along dim.
func (s *Scope) Scatter(x *ts.Tensor, dim int64, ids, src *ts.Tensor) *ts.Tensor {
	s.admit("scatter", x, ids, src)
	t, err := x.Scatter(dim, ids, src, false)
	return s.result("scatter", t, err, x, ids, src)
}

// Reshape changes the sizes; -1 is inferred. No sizes make a scalar of one element.
func (s *Scope) Reshape(x *ts.Tensor, dims ...int64) *ts.Tensor {
	s.admit("reshape", x)
	if len(dims) == 0 { // gotch crashes on empty lists
		t, err := s.Reshape(x, 1).Squeeze(false)
		return s.result("reshape", t, err, x)
	}
	t, err := x.Reshape(dims, false)
	return s.result("reshape", t, err, x)
}

// Transpose swaps two dimensions, a view.
func (s *Scope) Transpose(x *ts.Tensor, a, b int64) *ts.Tensor {
	s.admit("transpose", x)
	t, err := x.Transpose(a, b, false)
	return s.result("transpose", t, err, x)
}

// Permute reorders the dimensions, a view.
func (s *Scope) Permute(x *ts.Tensor, dims ...int64) *ts.Tensor {
	s.admit("permute", x)
	s.some("permute", dims)
	t, err := x.Permute(dims, false)
	return s.result("permute", t, err, x)
}

// Unsqueeze inserts a dimension of size 1.
func (s *Scope) Unsqueeze(x *ts.Tensor, dim int64) *ts.Tensor {
	s.admit("unsqueeze", x)
	t, err := x.Unsqueeze(dim, false)
	return s.result("unsqueeze", t, err, x)
}

// Squeeze removes dim if its size is 1.
func (s *Scope) Squeeze(x *ts.Tensor, dim int64) *ts.Tensor {
	s.admit("squeeze", x)
	t, err := x.SqueezeDim(dim, false)
	return s.result("squeeze", t, err, x)
}

// Expand repeats dimensions of size 1 without copying; -1 keeps a size.
func (s *Scope) Expand(x *ts.Tensor, dims ...int64) *ts.Tensor {
	s.admit("expand", x)
	s.some("expand", dims)
	t, err := x.Expand(dims, false, false)
	return s.result("expand", t, err, x)
}

// To converts to a dtype; a tensor that has it already is shared, not copied.
func (s *Scope) To(x *ts.Tensor, dtype gotch.DType) *ts.Tensor {
	s.admit("to", x)
	t, err := x.Totype(dtype, false)
	return s.result("to", t, err, x)
}

// Clone is a copy with memory of its own.
func (s *Scope) Clone(x *ts.Tensor) *ts.Tensor {
	s.admit("clone", x)
	t, err := x.ToDtype(x.DType(), false, true, false)
	return s.result("clone", t, err, x)
}

// ToDevice moves x.
func (s *Scope) ToDevice(x *ts.Tensor, d gotch.Device) *ts.Tensor {
	s.admit("to_device", x)
	t, err := x.To(d, false)
	return s.result("to_device", t, err, x)
}

// Tril is x with zeros above the given diagonal.
func (s *Scope) Tril(x *ts.Tensor, diagonal int64) *ts.Tensor {
	s.admit("tril", x)
	t, err := x.Tril(diagonal, false)
	return s.result("tril", t, err, x)
}

// some wants a list with entries: gotch crashes on an empty one.
func (s *Scope) some(op string, dims []int64) {
	if len(dims) == 0 {
		s.Fail(op, "no dimensions given, want at least one")
	}
}
