// Package native decodes with vectorized C kernels: what one row at a time through a few layers of matrices needs, and no
// more. Libtorch costs microseconds a call, some 300 calls a row, and reads bf16 weights slowly; here a whole row through
// all layers, or a whole frame of the code predictor, is one call.
//
// Activations are float32; weights are read as they lie, float32 or bf16, from memory that belongs to others. Decoding
// waits for memory, so bf16 weights may also be packed into 12 bits without loss (packed.h). A matrix may as well be in
// another package's format (Foreign): a table of C functions, called inside the same job. What several matrices read is
// normed, transformed and prepared for them once. Keys and values are kept in float32, bf16 or INT8.
//
//	pool, err := native.NewPool(2, "")    // threads, and the best kernels of this CPU
//	stack, err := native.NewStack(pool, shape)
//	err = stack.Bind(layers, norm, nil)   // where the weights are
//	err = stack.Prefill(x, rows, out)     // prompts
//	err = stack.Step(x, out)              // one row more for each
//
// The kernels are written once, in the compiler's vector types, and compiled for AVX-512, for AVX2 and for any CPU; the
// set is chosen at run time, or by name. All sets and all numbers of threads give equal results but for rounding, and
// one set gives the same bits whatever the number of threads or of sequences.
package native
