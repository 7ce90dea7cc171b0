// Package blockwise trains a fake-quantized student one decoder block at a time: the first stage of EfficientQAT (Chen et
// al. 2024, "EfficientQAT: Efficient Quantization-Aware Training for Large Language Models", §3.2, "Block-AP"). All
// parameters of a block, weights, scales, zero points and norms, are trained for a few epochs to give what the float block
// gives:
//
//	min over θ_i of   mean over real rows of (block_i(x̂; θ_i) - t)²
//
// The target t is the float model's, behind its own blocks; the input x̂ is what the student's blocks before i give, which are
// trained already: the block learns to make up for what they lose. Padding rows count for nothing. Of the states after each
// epoch, and the first one, a block keeps the one with the least loss: where the start is good, as GPTQ's is, a wrong rate
// would undo it. What is quantized outside of the blocks stays as calibration left it.
//
//	rows, err := blockwise.Train(ctx, teacher, student, batches, dir, identity, cfg, logf)
//
// Both models go over the data part by part (package layerwise), so memory holds both models, but activations, gradients and
// moments of one block. A block that is done is in a file; a run that was interrupted goes on with the next, to the bit.
package blockwise
