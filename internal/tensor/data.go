package tensor

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// Elements travel between Go and libtorch through the data pointer, as they lie in memory: little-endian on every
// platform that is supported. Gotch's own conversions box each element, or lose bf16.

// New copies little-endian elements into a CPU tensor that the caller owns.
func New(dtype gotch.DType, shape []int64, data []byte) (t *ts.Tensor, err error) {
	return Fill(dtype, shape, func(memory []byte) error {
		if len(data) != len(memory) {
			return fmt.Errorf("tensor: %d bytes for shape %v of dtype %v, want %d", len(data), shape, dtype, len(memory))
		}
		copy(memory, data)
		return nil
	})
}

// Fill makes a CPU tensor that the caller owns and lets f write its elements, row-major and little-endian, in place:
// memory is the tensor's own, undefined at first, and not f's to keep.
func Fill(dtype gotch.DType, shape []int64, f func(memory []byte) error) (t *ts.Tensor, err error) {
	size := ElementSize(dtype)
	if size == 0 {
		return nil, fmt.Errorf("tensor: dtype %v is not supported", dtype)
	}
	for _, d := range shape {
		if d < 0 {
			return nil, fmt.Errorf("tensor: shape %v, want no negative size", shape)
		}
	}
	err = Run(func(s *Scope) error {
		x := s.create("new", shape, func(shape []int64) (*ts.Tensor, error) { return ts.Empty(shape, dtype, gotch.CPU) })
		var memory []byte
		if n := numel(shape) * size; n > 0 {
			p, err := x.DataPtr()
			if err != nil {
				return clean(err)
			}
			memory = unsafe.Slice((*byte)(p), n)
			adviseHuge(memory)
		}
		if err := f(memory); err != nil {
			return err
		}
		t = s.Release(x)
		return nil
	})
	return t, err
}

// Bytes copies t's elements, row-major and little-endian, from any device.
func Bytes(t *ts.Tensor) (out []byte, err error) {
	err = Run(func(s *Scope) error {
		s.admit("bytes", t)
		size := ElementSize(t.DType())
		if size == 0 {
			return fmt.Errorf("tensor: dtype %v is not supported", t.DType())
		}
		out = make([]byte, numel(s.Shape(t))*size)
		return s.copyOut(out, s.Detach(t))
	})
	return out, err
}

// copyOut fills out, which has the size in bytes of t, a tensor outside any graph.
func (s *Scope) copyOut(out []byte, t *ts.Tensor) error {
	if len(out) == 0 {
		return nil
	}
	x := t
	if s.Device(x).Name != gotch.CPU.Name {
		x = s.ToDevice(x, gotch.CPU)
	}
	x = s.Contiguous(x)
	p, err := x.DataPtr()
	if err != nil {
		return clean(err)
	}
	copy(out, unsafe.Slice((*byte)(p), len(out)))
	runtime.KeepAlive(x)
	return nil
}

// elements copies t, converted to dtype, which is that of E.
func elements[E float32 | int64](t *ts.Tensor, dtype gotch.DType) (out []E, err error) {
	err = Run(func(s *Scope) error {
		x := s.To(s.Detach(t), dtype)
		out = make([]E, numel(s.Shape(x)))
		return s.copyOut(bytesOf(out), x)
	})
	return out, err
}

// Floats copies t into float32 values, widening bf16 and f16.
func Floats(t *ts.Tensor) ([]float32, error) { return elements[float32](t, gotch.Float) }

// Ints copies t into int64 values; fractions are cut off.
func Ints(t *ts.Tensor) ([]int64, error) { return elements[int64](t, gotch.Int64) }

// Scalar is the value of a one-element tensor.
func Scalar(t *ts.Tensor) (v float64, err error) {
	err = onThread("scalar", func() error {
		v, err = shim.Item(t)
		return err
	}, t)
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
