// Package int8 multiplies with packed quantized weights at a byte a weight, by C kernels chosen by the CPU at run time: any
// scheme of pkg/quant, of 8 or 4 bits, in groups of any width, per channel or per tensor. Nothing is quantized again:
// values are those of pkg/quant, bit for bit. (4 bits in groups of 32 or 128 take half the memory in pkg/int4.)
//
// # Layout
//
// 16 rows make a strip. A strip holds, for each group of columns in turn, a block of
//
//	16 scales            float32
//	16 zero points       int16, of asymmetric 8-bit schemes only, less 128
//	⌈group/2⌉ lines      of 32 bytes: byte 2*row+k of line j is the code of column 2j+k, signed
//
// Codes are q of symmetric schemes, q - 128 of asymmetric 8-bit ones and q - z of asymmetric 4-bit ones, which need no zero
// points then. Rows of padding in the last strip have the scale 0; the odd column of a group is followed by codes 0. So two
// columns of eight rows are what `vpmovsxbw` widens and `vpmaddwd` multiplies, and a lane is a row.
//
// # Arithmetic
//
// With a quantized input (dynamic per token or static, of 4 or 8 bits) it is pkg/quant's LinearInt, to the bit: int32 sums of
// a group are exact, groups are added in ascending order in float32, every product and sum rounded. A token with NaN or an
// infinity gives NaN. With a float input, float32 activations are multiplied with codes less zero points, exact as floats,
// and sums of a group with its scale; rows of x are taken four, two and one at a time, and each of these
// sums in an order of its own. On AVX2, activations beyond 10^26 overflow them, and scales below 2^-100 lose bits. The bits of a product do not depend on the number of threads.
package int8
