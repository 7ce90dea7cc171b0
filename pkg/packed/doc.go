// Package packed lets quantized layers compute on the CPU with the weights as they are packed, by kernels of our own: a
// [Linear] stands in the slot of a qat.Packed one. Each weight has the layout of the package that knows its scheme:
//
//	pkg/int4    4 bits in groups of 32 or 128: half a byte a weight, in a file that processes share
//	pkg/int8    every other scheme: a byte a weight, in memory of the process
//
// [Swap] serves a model that is loaded, [FromCheckpoint] one that is about to be. What has no kernels stays as it is, and is
// named with the reason; damaged values (a scale that is not finite) are an error.
package packed
