package export

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/gguf"
)

// floats decodes little-endian numbers of a float dtype.
func floats(dtype string, b []byte) ([]float32, error) {
	switch dtype {
	case "F32":
		out := make([]float32, len(b)/4)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return out, nil
	case "BF16":
		out := make([]float32, len(b)/2)
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		}
		return out, nil
	case "F16":
		out := make([]float32, len(b)/2)
		for i := range out {
			out[i] = gguf.Float(binary.LittleEndian.Uint16(b[2*i:]))
		}
		return out, nil
	}
	return nil, fmt.Errorf("dtype %s, want F32, F16 or BF16", dtype)
}

// exact encodes numbers in a float dtype that holds each of them exactly; one that it does not hold is an error.
func exact(dtype string, x []float32) ([]byte, error) {
	switch dtype {
	case "F32":
		out := make([]byte, 0, 4*len(x))
		for _, v := range x {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
		return out, nil
	case "F16", "BF16":
		out := make([]byte, 0, 2*len(x))
		for i, v := range x {
			bits, ok := narrow(dtype, v)
			if !ok {
				return nil, fmt.Errorf("number %d is %v, which %s does not hold exactly", i, v, dtype)
			}
			out = binary.LittleEndian.AppendUint16(out, bits)
		}
		return out, nil
	}
	return nil, fmt.Errorf("dtype %s, want F32, F16 or BF16", dtype)
}

// narrow is x in 16 bits; ok is false where they do not hold it exactly.
func narrow(dtype string, x float32) (bits uint16, ok bool) {
	if dtype == "F16" {
		return gguf.Half(x)
	}
	b := math.Float32bits(x)
	return uint16(b >> 16), b&0xffff == 0 && x == x
}

// narrowest is the first of BF16, F16 and F32 that holds every number.
func narrowest(x []float32) string {
	for _, dtype := range []string{"BF16", "F16"} {
		if !slices.ContainsFunc(x, func(v float32) bool { _, ok := narrow(dtype, v); return !ok }) {
			return dtype
		}
	}
	return "F32"
}

// rounded encodes numbers in a float dtype, to the nearest.
func rounded(dtype string, x []float32) ([]byte, error) {
	if dtype == "F32" {
		return exact(dtype, x)
	}
	out := make([]byte, 0, 2*len(x))
	for _, v := range x {
		switch dtype {
		case "F16":
			out = binary.LittleEndian.AppendUint16(out, gguf.RoundHalf(v))
		case "BF16":
			b := math.Float32bits(v)
			if v == v {
				b += 0x7fff + b>>16&1 // half to even
			}
			out = binary.LittleEndian.AppendUint16(out, uint16(b>>16))
		default:
			return nil, fmt.Errorf("dtype %s, want F32, F16 or BF16", dtype)
		}
	}
	return out, nil
}

// int32s decodes little-endian words.
func int32s(b []byte) []int32 {
	out := make([]int32, len(b)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// words encodes them.
func words(w io.Writer, x []int32) error {
	const chunk = 1 << 16
	buf := make([]byte, 0, 4*min(chunk, len(x)))
	for part := range slices.Chunk(x, chunk) {
		buf = buf[:0]
		for _, v := range part {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(v))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// wordTensor is a tensor of words that are computed when they are written.
func wordTensor(name string, f func() ([]int32, error), shape ...int64) ckpt.Tensor {
	return ckpt.Tensor{Name: name, DType: "I32", Shape: shape, Stream: func(w io.Writer) error {
		x, err := f()
		if err != nil {
			return err
		}
		return words(w, x)
	}}
}

// floatTensor is a tensor of numbers that are computed when they are written; one that dtype does not hold is an error.
func floatTensor(name, dtype string, f func() ([]float32, error), shape ...int64) ckpt.Tensor {
	return ckpt.Tensor{Name: name, DType: dtype, Shape: shape, Stream: func(w io.Writer) error {
		x, err := f()
		if err != nil {
			return err
		}
		b, err := exact(dtype, x)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}}
}

// copied is a tensor of a checkpoint as it is.
func copied(src *ckpt.Reader, info ckpt.Info) ckpt.Tensor {
	return ckpt.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Stream: func(w io.Writer) error {
		_, data, err := src.Bytes(info.Name)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}}
}

// transposed is x [rows, cols] as [cols, rows].
func transposed[T any](x []T, rows, cols int64) []T {
	out := make([]T, len(x))
	const block = 32 // rows and columns that stay in the cache
	for r0 := int64(0); r0 < rows; r0 += block {
		for c0 := int64(0); c0 < cols; c0 += block {
			for r := r0; r < min(r0+block, rows); r++ {
				for c := c0; c < min(c0+block, cols); c++ {
					out[c*rows+r] = x[r*cols+c]
				}
			}
		}
	}
	return out
}
