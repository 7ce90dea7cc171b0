// Package gguf reads and writes GGUF files, version 3, little-endian: the container of ggml and llama.cpp. It knows the
// container and the blocks that weights are stored in, not what a model's tensors are called.
//
// # The container
//
// Source: docs/gguf.md of github.com/ggml-org/ggml. Numbers are little-endian, a string is its length as u64 and its bytes.
//
//	"GGUF", u32 version = 3, u64 tensors, u64 pairs
//	pairs    key string, u32 kind, value; an array is u32 kind of its elements, u64 count, elements
//	tensors  name string, u32 dimensions, u64 each of them (the innermost first), u32 type, u64 offset
//	padding to the alignment, then the data: each tensor begins at a multiple of the alignment
//
// The alignment is 32 unless general.alignment says otherwise. Shapes are reversed in the file: a weight [out, in] has
// dimensions in, out. This package shows shapes in the order of the other packages, outermost first.
//
// # Blocks
//
// A quantized row is a sequence of blocks of 32 columns; d and m are fp16.
//
//	Q4_0  18 bytes  d, 16 bytes     value (u - 8) * d
//	Q4_1  20 bytes  d, m, 16 bytes  value u * d + m
//	Q8_0  34 bytes  d, 32 bytes     value q * d
//
// Byte j of Q4_0 and Q4_1 has u of column j in its low nibble and that of column j+16 in its high one. Codes go in and out
// as they are: nothing here quantizes.
package gguf
