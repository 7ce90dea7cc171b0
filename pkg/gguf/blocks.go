package gguf

import (
	"encoding/binary"
	"fmt"
)

// Rows are the codes of a matrix and the numbers that turn them into values, one of each per block of 32 columns, row by
// row. What they mean depends on the type: see the package comment.
type Rows struct {
	Codes []uint8   // [rows * columns]: u of Q4_0 and Q4_1 (0...15), q of Q8_0 as its byte
	D     []float32 // [rows * columns / 32], exact in fp16
	M     []float32 // Q4_1 only
}

// blockLayout is where a block has what.
func blockLayout(t Type) (head int, nibbles bool, err error) {
	switch t {
	case Q4_0:
		return 2, true, nil
	case Q4_1:
		return 4, true, nil
	case Q8_0:
		return 2, false, nil
	}
	return 0, false, fmt.Errorf("gguf: %v has no blocks that this package packs, want Q4_0, Q4_1 or Q8_0", t)
}

// Pack lays codes out in blocks of type t. A scale that fp16 does not hold exactly is an error.
func Pack(t Type, r Rows) ([]byte, error) {
	head, nibbles, err := blockLayout(t)
	if err != nil {
		return nil, err
	}
	n := len(r.D)
	if len(r.Codes) != n*BlockSize || t == Q4_1 && len(r.M) != n {
		return nil, fmt.Errorf("gguf: %v: %d codes, %d scales, %d offsets, want %d codes a scale", t, len(r.Codes), n, len(r.M), BlockSize)
	}
	size := int(types[t].bytes)
	out := make([]byte, n*size)
	for i := range n {
		b := out[i*size : (i+1)*size]
		if err := putHalf(b, r.D[i], t, "scale", i); err != nil {
			return nil, err
		}
		if t == Q4_1 {
			if err := putHalf(b[2:], r.M[i], t, "offset", i); err != nil {
				return nil, err
			}
		}
		codes, body := r.Codes[i*BlockSize:(i+1)*BlockSize], b[head:]
		if !nibbles {
			copy(body, codes)
			continue
		}
		for j := range body {
			low, high := codes[j], codes[j+16]
			if low|high > 15 {
				return nil, fmt.Errorf("gguf: %v: block %d has codes %d and %d, want 0...15", t, i, low, high)
			}
			body[j] = low | high<<4
		}
	}
	return out, nil
}

func putHalf(b []byte, x float32, t Type, what string, block int) error {
	bits, ok := Half(x)
	if !ok {
		return fmt.Errorf("gguf: %v: %s of block %d is %v, which fp16 does not hold exactly", t, what, block, x)
	}
	binary.LittleEndian.PutUint16(b, bits)
	return nil
}

// Unpack undoes Pack.
func Unpack(t Type, data []byte) (Rows, error) {
	head, nibbles, err := blockLayout(t)
	if err != nil {
		return Rows{}, err
	}
	size := int(types[t].bytes)
	n := len(data) / size
	if n*size != len(data) {
		return Rows{}, fmt.Errorf("gguf: %d bytes are no whole blocks of %v, which take %d", len(data), t, size)
	}
	r := Rows{Codes: make([]uint8, n*BlockSize), D: make([]float32, n)}
	if t == Q4_1 {
		r.M = make([]float32, n)
	}
	for i := range n {
		b := data[i*size : (i+1)*size]
		r.D[i] = Float(binary.LittleEndian.Uint16(b))
		if t == Q4_1 {
			r.M[i] = Float(binary.LittleEndian.Uint16(b[2:]))
		}
		codes, body := r.Codes[i*BlockSize:(i+1)*BlockSize], b[head:]
		if !nibbles {
			copy(codes, body)
			continue
		}
		for j, x := range body {
			codes[j], codes[j+16] = x&15, x>>4
		}
	}
	return r, nil
}

// Dequantize is the values of blocks in float32, in the order of arithmetic of the package comment.
func Dequantize(t Type, data []byte) ([]float32, error) {
	r, err := Unpack(t, data)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(r.Codes))
	for i, u := range r.Codes {
		d := r.D[i/BlockSize]
		switch t {
		case Q4_0:
			out[i] = float32(int(u)-8) * d
		case Q4_1:
			out[i] = float32(float32(u)*d) + r.M[i/BlockSize]
		default:
			out[i] = float32(int8(u)) * d
		}
	}
	return out, nil
}
