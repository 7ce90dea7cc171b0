package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Pair is a key and its value, in the order of the file. A value is one of bool, string, uint8 to uint64, int8 to int64,
// float32, float64, or a slice of one of these.
type Pair struct {
	Key   string
	Value any
}

// AlignmentKey is the key of the alignment of the data.
const AlignmentKey = "general.alignment"

// Kinds of values, by the format's numbers.
const (
	kindUint8 = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
)

// encoder appends to a buffer.
type encoder struct{ b []byte }

func (e *encoder) u32(x uint32)  { e.b = binary.LittleEndian.AppendUint32(e.b, x) }
func (e *encoder) u64(x uint64)  { e.b = binary.LittleEndian.AppendUint64(e.b, x) }
func (e *encoder) text(s string) { e.u64(uint64(len(s))); e.b = append(e.b, s...) }

// value appends the kind and the value.
func (e *encoder) value(key string, v any) error {
	switch v := v.(type) {
	case uint8:
		scalar(e, kindUint8, v)
	case int8:
		scalar(e, kindInt8, v)
	case uint16:
		scalar(e, kindUint16, v)
	case int16:
		scalar(e, kindInt16, v)
	case uint32:
		scalar(e, kindUint32, v)
	case int32:
		scalar(e, kindInt32, v)
	case float32:
		scalar(e, kindFloat32, v)
	case bool:
		scalar(e, kindBool, v)
	case uint64:
		scalar(e, kindUint64, v)
	case int64:
		scalar(e, kindInt64, v)
	case float64:
		scalar(e, kindFloat64, v)
	case string:
		e.u32(kindString)
		e.text(v)
	case []string:
		e.array(kindString, len(v))
		for _, s := range v {
			e.text(s)
		}
	case []uint8:
		list(e, kindUint8, v)
	case []int8:
		list(e, kindInt8, v)
	case []uint16:
		list(e, kindUint16, v)
	case []int16:
		list(e, kindInt16, v)
	case []uint32:
		list(e, kindUint32, v)
	case []int32:
		list(e, kindInt32, v)
	case []float32:
		list(e, kindFloat32, v)
	case []bool:
		list(e, kindBool, v)
	case []uint64:
		list(e, kindUint64, v)
	case []int64:
		list(e, kindInt64, v)
	case []float64:
		list(e, kindFloat64, v)
	default:
		return fmt.Errorf("key %q: a value of type %T, which the format has not", key, v)
	}
	return nil
}

func (e *encoder) array(kind uint32, n int) {
	e.u32(kindArray)
	e.u32(kind)
	e.u64(uint64(n))
}

// plain are the values of fixed size.
type plain interface {
	bool | uint8 | int8 | uint16 | int16 | uint32 | int32 | float32 | uint64 | int64 | float64
}

func scalar[T plain](e *encoder, kind uint32, v T) {
	e.u32(kind)
	e.b, _ = binary.Append(e.b, binary.LittleEndian, v) // a fixed size never fails
}

func list[T plain](e *encoder, kind uint32, v []T) {
	e.array(kind, len(v))
	e.b, _ = binary.Append(e.b, binary.LittleEndian, v)
}

// decoder reads a header and never asks for more memory than the file has bytes.
type decoder struct {
	r    io.Reader
	left int64 // bytes of the file that are still to come
	at   int64
}

func (d *decoder) bytes(n uint64) ([]byte, error) {
	if n > uint64(d.left) {
		return nil, fmt.Errorf("truncated: %d bytes wanted at %d, where %d are left", n, d.at, d.left)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		return nil, fmt.Errorf("truncated at %d: %w", d.at, err)
	}
	d.left, d.at = d.left-int64(n), d.at+int64(n)
	return b, nil
}

func (d *decoder) u32() (uint32, error) {
	b, err := d.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (d *decoder) u64() (uint64, error) {
	b, err := d.bytes(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (d *decoder) text() (string, error) {
	n, err := d.u64()
	if err != nil {
		return "", err
	}
	b, err := d.bytes(n)
	return string(b), err
}

// value reads a value of a kind, count of them if it is an array's element.
func (d *decoder) value(kind uint32) (any, error) {
	switch kind {
	case kindString:
		return d.text()
	case kindArray:
		of, err := d.u32()
		if err != nil {
			return nil, err
		}
		n, err := d.u64()
		if err != nil {
			return nil, err
		}
		return d.array(of, n)
	}
	v, err := d.array(kind, 1)
	if err != nil {
		return nil, err
	}
	return first(v), nil
}

func (d *decoder) array(kind uint32, n uint64) (any, error) {
	switch kind {
	case kindString:
		if n > uint64(d.left)/8 { // each has at least its length
			return nil, fmt.Errorf("truncated: %d strings at %d, where %d bytes are left", n, d.at, d.left)
		}
		out := make([]string, n)
		for i := range out {
			s, err := d.text()
			if err != nil {
				return nil, err
			}
			out[i] = s
		}
		return out, nil
	case kindUint8:
		return numbers[uint8](d, n, 1)
	case kindInt8:
		return numbers[int8](d, n, 1)
	case kindUint16:
		return numbers[uint16](d, n, 2)
	case kindInt16:
		return numbers[int16](d, n, 2)
	case kindUint32:
		return numbers[uint32](d, n, 4)
	case kindInt32:
		return numbers[int32](d, n, 4)
	case kindFloat32:
		return numbers[float32](d, n, 4)
	case kindUint64:
		return numbers[uint64](d, n, 8)
	case kindInt64:
		return numbers[int64](d, n, 8)
	case kindFloat64:
		return numbers[float64](d, n, 8)
	case kindBool:
		b, err := numbers[uint8](d, n, 1)
		if err != nil {
			return nil, err
		}
		out := make([]bool, len(b))
		for i, x := range b {
			if x > 1 {
				return nil, fmt.Errorf("a boolean of %d before %d, want 0 or 1", x, d.at)
			}
			out[i] = x == 1
		}
		return out, nil
	}
	return nil, fmt.Errorf("a value of unknown kind %d before %d (arrays of arrays are not read)", kind, d.at)
}

func numbers[T plain](d *decoder, n uint64, size uint64) ([]T, error) {
	if n > math.MaxInt64/size {
		return nil, fmt.Errorf("truncated: %d values at %d, where %d bytes are left", n, d.at, d.left)
	}
	b, err := d.bytes(n * size)
	if err != nil {
		return nil, err
	}
	out := make([]T, n)
	if n > 0 {
		if _, err := binary.Decode(b, binary.LittleEndian, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// first is the only element of a slice that array has read.
func first(v any) any {
	switch v := v.(type) {
	case []uint8:
		return v[0]
	case []int8:
		return v[0]
	case []uint16:
		return v[0]
	case []int16:
		return v[0]
	case []uint32:
		return v[0]
	case []int32:
		return v[0]
	case []float32:
		return v[0]
	case []uint64:
		return v[0]
	case []int64:
		return v[0]
	case []float64:
		return v[0]
	default:
		return v.([]bool)[0]
	}
}
