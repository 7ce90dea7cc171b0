package tensor

import (
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// create owns what f makes. No sizes make a scalar of one element, which gotch cannot make directly: it crashes on empty
// lists.
func (s *Scope) create(op string, shape []int64, f func(shape []int64) (*ts.Tensor, error)) *ts.Tensor {
	s.admit(op)
	if len(shape) == 0 {
		t, err := f([]int64{1})
		return s.Reshape(s.result(op, t, err))
	}
	t, err := f(shape)
	return s.result(op, t, err)
}

// Zeros, on the CPU.
func (s *Scope) Zeros(dtype gotch.DType, shape ...int64) *ts.Tensor {
	return s.create("zeros", shape, func(shape []int64) (*ts.Tensor, error) { return ts.Zeros(shape, dtype, gotch.CPU) })
}

// ZerosLike has x's shape and device.
func (s *Scope) ZerosLike(x *ts.Tensor, dtype gotch.DType) *ts.Tensor {
	device := s.Device(x)
	return s.create("zeros_like", s.Shape(x), func(shape []int64) (*ts.Tensor, error) { return ts.Zeros(shape, dtype, device) })
}

// Ones, on the CPU.
func (s *Scope) Ones(dtype gotch.DType, shape ...int64) *ts.Tensor {
	return s.create("ones", shape, func(shape []int64) (*ts.Tensor, error) { return ts.Ones(shape, dtype, gotch.CPU) })
}

// Full of v, on the CPU.
func (s *Scope) Full(dtype gotch.DType, v float64, shape ...int64) *ts.Tensor {
	return s.create("full", shape, func(shape []int64) (*ts.Tensor, error) {
		return ts.Full(shape, s.scalar(v), dtype, gotch.CPU)
	})
}

// Arange is 0, 1, …, n-1.
func (s *Scope) Arange(dtype gotch.DType, n int64) *ts.Tensor {
	s.admit("arange")
	t, err := ts.Arange(s.intScalar(n), dtype, gotch.CPU)
	return s.result("arange", t, err)
}

// Randn draws from N(0, 1) with libtorch's generator.
func (s *Scope) Randn(shape ...int64) *ts.Tensor {
	return s.create("randn", shape, func(shape []int64) (*ts.Tensor, error) { return ts.Randn(shape, gotch.Float, gotch.CPU) })
}

// Rand draws from [0, 1) with libtorch's generator.
func (s *Scope) Rand(shape ...int64) *ts.Tensor {
	return s.create("rand", shape, func(shape []int64) (*ts.Tensor, error) { return ts.Rand(shape, gotch.Float, gotch.CPU) })
}

// FromFloats copies v into a float32 tensor.
func (s *Scope) FromFloats(v []float32, shape ...int64) *ts.Tensor {
	t, err := New(gotch.Float, shape, bytesOf(v))
	return s.result("from_floats", t, err)
}

// FromInts copies v into an int64 tensor.
func (s *Scope) FromInts(v []int64, shape ...int64) *ts.Tensor {
	t, err := New(gotch.Int64, shape, bytesOf(v))
	return s.result("from_ints", t, err)
}

// FromBools copies v into a mask.
func (s *Scope) FromBools(v []bool, shape ...int64) *ts.Tensor {
	t, err := New(gotch.Bool, shape, bytesOf(v))
	return s.result("from_bools", t, err)
}
