// Package adamw is the update of AdamW in vectorized C: one pass over a parameter reads its gradient and moments, and
// writes moments and weight. Moments are float32, or codes of 8 bits; weights are float32, with a bf16 copy if wanted, or
// bf16 alone with stochastic rounding. For a gradient g, all in float32, with the coefficients rounded once:
//
//	d = GradScale·g
//	m = m + (d - m)·Keep1
//	v = v·Beta2 + d²·Keep2
//	w = w·Decay - (m·StepSize) / (√v/Root2 + Eps)
//
// where with codes √v is multiplied by 1/Root2, which is quicker; float32 moments give PyTorch's order of operations.
//
// The 8-bit codes are bitsandbytes' (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization"): 256 values
// share their largest magnitude, and a value divided by it becomes the nearest of 256 numbers, the lower one of two at
// equal distances. One rule is our own: a positive v never becomes 0, which would leave ε alone in the denominator.
//
// The kernels are written once, in the compiler's vector types, and compiled for AVX-512, for AVX2 and for any CPU. All
// sets and all numbers of threads give the same bits. The threads are OpenMP's, and so libtorch's, when libtorch is
// loaded: as many as it was told on the calling OS thread.
package adamw
