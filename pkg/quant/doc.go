// Package quant is the arithmetic of quantization, written down once. Fake-quantized training, calibration, packing
// and reloading all obey this page, so that one weight has one value, bit for bit, wherever it is.
//
// # Codes
//
// A weight w of a linear layer [N out, K in] has a scale s > 0 and, when asymmetric, an integer zero point z. With
// r() = round half to even, on float32 throughout:
//
//	symmetric    q = clamp(r(w / s), -8, 7)          value = q * s
//	asymmetric   q = clamp(r(w / s) + z, 0, 15)      value = (q - z) * s      z integer in 0...15
//
// w / s is a division, never a product with 1/s: the two round differently on ties. Eight bits read -128...127 and
// 0...255. The scheme's granularity says who shares (s, z): the whole tensor, an output channel (row), or a group of 32,
// 64 or 128 consecutive inputs of one row.
//
// # The scale grid
//
// Scales lie on a grid that fp16 and bf16 both hold exactly: 8 significant bits, between [ScaleMin] = 2^-14 and
// [ScaleMax] = 65280 (the largest bf16 under 65504). [RoundScale] rounds half to even onto it. A trained scale is a
// float32 master; the effective scale is the master rounded inside the fake quantizer, with a straight-through gradient.
// So fake-quantized = packed = reloaded: nothing is rounded a second time when it is stored.
//
// # Where scales come from
//
// Of one (row, group), with a = max |w|:
//
//	absmax       a / 7                                     (qmax; 127 for 8 bits)
//	absmax_half  a / 7.5                                   half a step clips on the positive side
//	signed_max   a / 8 if -min w > max w, else a / 7       the whole range is used, nothing clips
//	min_max      (hi - lo) / 15, z = clamp(r(-lo / s), 0, 15), lo = min(w, 0), hi = max(w, 0)   asymmetric only
//
// lo and hi include 0, so that zero is representable. A group of zeros gets ScaleMin and codes that mean 0. NaN and
// infinities are errors that name the row and column.
//
// # Activations
//
// Symmetric: INT8 s = absmax / 127, INT4 s = absmax / 7, per token (the last dimension) and computed anew each time, or
// one learned scale for the tensor, on the grid. q = clamp(r(x / s), qmin, qmax), value = q * s. A dynamic scale is a
// plain float32, not on the grid, and at least 2^-126, so that a zero token has codes 0.
//
// # Gradients
//
// Straight-through (LSQ, Esser et al. 2020, §2.1): with "in range" meaning that the code before clamping lies in qmin...
// qmax,
//
//	d value / d w = 1 in range, else 0
//	d value / d s = (q - z) - w/s in range, else q - z
//	d value / d z = 0 in range, else -s
//
// The mask looks at the rounded code, not at w/s: 7.4 is in range, 7.6 is not. A dynamic activation scale is a constant
// and everything is in range. These are the derivatives of a smooth surrogate, which tests differentiate numerically: in
// range w + s * (r0 - w0/s0), with the rounded and the exact quotient frozen at the present point, outside (q - z) * s.
// With LSQ's gradient scale on, d / d s and d / d z are multiplied by 1/sqrt(n * qmax), n the weights that share the scale.
//
// # Two scales
//
// Dual LSQ quantizes with one scale, p, and dequantizes with another, s; only s is stored, so it costs nothing once the
// weight is packed, and rounding no longer depends on magnitude. Both lie on the grid:
//
//	q = clamp(r(w / p) + z)     value = (q - z) * s
//	d value / d w = s/p in range, else 0
//	d value / d s = q - z
//	d value / d p = -w/p * s/p in range, else 0
//	d value / d z = 0 in range, else -s
//
// With p = s the first and the sum of the next two are those of one scale.
//
// # The integer layer
//
// [LinearInt] defines W4A8: int8 activation codes, int32 sums of xq * (q - z) inside a group, then float32 over the
// groups in ascending order, then the activation's scale and the bias:
//
//	y = sx * (((a0*s0) + a1*s1) + ...) + b
//
// [Linear] can train on it ([Products]): then this is what the forward pass computes, to the bit, and what the float
// values multiply to agrees within rounding, 1e-5 of the sum of magnitudes. The gradients are those of the float values.
// A token or a group of weights with NaN gives NaN.
//
// # Storage
//
// [Packed] is the compressed-tensors `pack-quantized` layout, for 4 and 8 bits: word (n, c) of int32 [N, ceil(K/8)]
// holds in bits 4j...4j+3 the code of column 8c+j as u = q + 8 (symmetric) or u = q (asymmetric); columns beyond K are
// 0. Zero points are packed the same way along rows, int32 [ceil(N/8), groups]; a single one of a per-tensor scheme is
// int8 [1], less 8. Eight bits hold four codes a word, with 128 in the place of 8.
package quant
