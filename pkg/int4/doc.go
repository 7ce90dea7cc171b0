// Package int4 multiplies with packed group-wise INT4 weights, by C kernels chosen by the CPU at run time. Nothing is
// quantized again: codes, scales and zero points are those of pkg/quant, bit for bit, and come back so.
//
// # Layout
//
// One layout serves decoding, products of many rows, and files. 16 rows make a strip. A strip holds, for each group of 32
// or 128 columns in turn, a block of
//
//	16 scales      fp16, which holds the scale grid exactly
//	16 zero points bytes, of asymmetric schemes only
//	group/8 lines  of 64 bytes: byte 4*row+k of line j holds the code of column 8j+k in its low nibble and that of
//	               column 8j+4+k in its high one, as u = q - qmin in 0...15
//
// Rows of padding in the last strip have the scale 0 and codes that mean 0. So a line is what `vpdpbusd` multiplies, and
// its two nibble planes are two rows of a tile of AMX.
//
// # Arithmetic
//
// W4A8 and W4A4 are pkg/quant's LinearInt: int32 sums of a group are exact, groups are added in ascending order in float32.
// Tokens are quantized as pkg/quant does. A token with NaN or an infinity gives NaN. W4A16 multiplies float32 activations with
// dequantized weights in float32; sums there run in an order of the kernels' own, and of few rows codes are summed before
// the scale is applied, which activations near the largest float overflow.
//
// The bits of a product do not depend on the number of threads. Those of quantized inputs do not depend on the rows of x
// beside it either; W4A16 of more than eight rows sums in another order than of few.
//
// # The interleaved file
//
// The layout is a file too, [FileName] beside a packed checkpoint's safetensors: [BuildFile] makes it, [Cached] makes it
// where it is missing or stale, pkg/packed puts its matrices into a model that has not been loaded. The file is mapped
// read-only and shared: nothing is copied, a second process uses the pages of the first, and a page comes from the disk
// when a product first reads it. Opening looks at the header only, whose hash it checks; that the matrices are what was
// written, [File.Verify] tells by their hashes, and that the checkpoint still has the tensors that they were made of,
// [File.VerifySource]. Both read everything, and neither is part of opening.
package int4
