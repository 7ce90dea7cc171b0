package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Zeros, on the CPU.
func (s *Scope) Zeros(dtype gotch.DType, shape ...int64) *ts.Tensor {
	t, err := ts.Zeros(shape, dtype, gotch.CPU)
	return s.result("zeros", t, err)
}

// ZerosLike has x's shape and device.
func (s *Scope) ZerosLike(x *ts.Tensor, dtype gotch.DType) *ts.Tensor {
	d, err := x.Device()
	s.Check("zeros_like", err)
	t, err := ts.Zeros(s.Shape(x), dtype, d)
	return s.result("zeros_like", t, err, x)
}

// Ones, on the CPU.
func (s *Scope) Ones(dtype gotch.DType, shape ...int64) *ts.Tensor {
	t, err := ts.Ones(shape, dtype, gotch.CPU)
	return s.result("ones", t, err)
}

// Full of v, on the CPU.
func (s *Scope) Full(dtype gotch.DType, v float64, shape ...int64) *ts.Tensor {
	t, err := ts.Full(shape, s.scalar(v), dtype, gotch.CPU)
	return s.result("full", t, err)
}

// Arange is 0, 1, …, n-1.
func (s *Scope) Arange(dtype gotch.DType, n int64) *ts.Tensor {
	t, err := ts.Arange(s.intScalar(n), dtype, gotch.CPU)
	return s.result("arange", t, err)
}

// Randn draws from N(0, 1) with libtorch's generator.
func (s *Scope) Randn(shape ...int64) *ts.Tensor {
	t, err := ts.Randn(shape, gotch.Float, gotch.CPU)
	return s.result("randn", t, err)
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

// New copies little-endian elements into a CPU tensor that the caller owns.
func New(dtype gotch.DType, shape []int64, data []byte) (*ts.Tensor, error) {
	if want := numel(shape) * ElementSize(dtype); int64(len(data)) != want {
		return nil, fmt.Errorf("tensor: %d bytes for shape %v of dtype %v, want %d", len(data), shape, dtype, want)
	}
	t, err := ts.Empty(shape, dtype, gotch.CPU)
	if err != nil {
		return nil, firstLine(err)
	}
	if len(data) > 0 {
		p, err := t.DataPtr()
		if err != nil {
			t.Drop()
			return nil, firstLine(err)
		}
		copy(unsafe.Slice((*byte)(p), len(data)), data)
	}
	runtime.KeepAlive(t)
	return t, nil
}

// Bytes copies t's elements, row-major and little-endian, from any device.
func Bytes(t *ts.Tensor) (out []byte, err error) {
	err = Run(func(s *Scope) error {
		out = nil
		x := s.Contiguous(s.ToDevice(s.Detach(t), gotch.CPU))
		n := numel(s.Shape(x)) * ElementSize(x.DType())
		out = make([]byte, n)
		if n == 0 {
			return nil
		}
		p, err := x.DataPtr()
		if err != nil {
			return firstLine(err)
		}
		copy(out, unsafe.Slice((*byte)(p), n))
		runtime.KeepAlive(x)
		return nil
	})
	return out, err
}

// Floats copies t into float32 values, widening bf16 and f16.
func Floats(t *ts.Tensor) (out []float32, err error) {
	err = Run(func(s *Scope) error {
		b, err := Bytes(s.To(s.Detach(t), gotch.Float))
		if err != nil {
			return err
		}
		out = make([]float32, len(b)/4)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return nil
	})
	return out, err
}

// Ints copies t into int64 values.
func Ints(t *ts.Tensor) (out []int64, err error) {
	err = Run(func(s *Scope) error {
		b, err := Bytes(s.To(s.Detach(t), gotch.Int64))
		if err != nil {
			return err
		}
		out = make([]int64, len(b)/8)
		for i := range out {
			out[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
		return nil
	})
	return out, err
}

// Scalar is the value of a one-element tensor.
func Scalar(t *ts.Tensor) (v float64, err error) {
	err = Run(func(s *Scope) error {
		b, err := Bytes(s.To(s.Detach(t), gotch.Double))
		if err != nil {
			return err
		}
		if len(b) != 8 {
			return fmt.Errorf("tensor: %d elements, want one", len(b)/8)
		}
		v = math.Float64frombits(binary.LittleEndian.Uint64(b))
		return nil
	})
	return v, err
}

// ElementSize is the bytes of one element, or 0 for dtypes that are not used here.
func ElementSize(d gotch.DType) int64 {
	switch d {
	case gotch.Double, gotch.Int64:
		return 8
	case gotch.Float, gotch.Int:
		return 4
	case gotch.Half, gotch.BFloat16, gotch.Int16:
		return 2
	case gotch.Int8, gotch.Uint8, gotch.Bool:
		return 1
	}
	return 0
}

func numel(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

func bytesOf[E float32 | int64 | bool](v []E) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0])))
}
