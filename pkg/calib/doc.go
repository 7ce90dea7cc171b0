// Package calib chooses the scales that a student starts from: it runs the float model over real batches, watches the
// inputs of the layers that will be quantized, and fits weight and activation scales to what it saw.
//
//	stats, err := calib.Collect(ctx, slots, batches, forward, cfg)    // the float model, before any layer is swapped
//	result, err := calib.Fit(stats, slots, schemes, cfg)
//	result.Weights["talker.model.layers.0.self_attn.q_proj"]          // quant.QParams
//
// # What is watched
//
// Of the input x [tokens, K] of every targeted layer, after its transform: the number of tokens, the range, a moving
// average of each batch's range, a histogram of all values, and the second moment h_k = mean of x_k^2 of each channel.
// Padding would bend all of them: the forward function says with [Pass.Keep] which rows are real.
//
// The histogram counts every value. Its bins are [i, i+1) * 2^e, and when a value does not fit, e grows and pairs of
// bins are merged: no count is lost, and the final histogram is a function of the set of values, not of their order. A
// percentile read from it is off by less than one bin, at most 1/4096 of the largest magnitude.
//
// # Weight scales
//
// Each (row, group) has its own scale, found on its own: an outlier row changes no other row. The rules are those of
// package quant (absmax/7, absmax/7.5, signed max; for asymmetric schemes the range over 15), or a search for
//
//	min over (s, z) of   sum_k h_k (w_k - value_k(s, z))^2
//
// over a grid of clip ranges (Nagel et al. 2021, "A White Paper on Neural Network Quantization", §3.1). h is 1, or the channels' second moments: then the sum is the expected squared error of the
// layer's output, up to the correlations between channels (llama.cpp calls h the importance matrix). Candidates are
// rounded to the scale grid before they are measured, in the exact arithmetic of package quant, and the fixed rules'
// scales are among them: the search never loses to a rule under its own measure. Equal errors go to the earlier
// candidate; nothing is random.
//
// With weighting gram, h becomes a quadratic form, the second moments of a group's channels with one another: what the clip
// search of AWQ minimizes, which is in the authors' code (auto_clip) and not in the paper. Theirs leaves q_proj and k_proj out,
// since attention multiplies what both lose; here every layer is searched. For asymmetric schemes there is [FitHQQ] (Badri
// and Shaji 2023), with weighting none the paper's, which needs no data at all.
//
// # Codes
//
// [RoundGPTQ] and [RoundAuto] answer with codes that are not the nearest ones, [Result].Codes: GPTQ (Frantar et al. 2022,
// algorithm 1) on scales by any of the methods above, AutoRound (Cheng et al. 2023, §3) with scales of its own. A student
// takes them as masters that lie in the codes' cells (qat.SetCodes), and trains on from there. Both need to know how the
// channels of an input go together, a [Gram] matrix for each input, which Collect sums up where [Config].NeedsGrams.
//
// # Scales that move between layers
//
// A [Fold] is a place where channels can be rescaled without changing the function: behind a norm, between v_proj and o_proj,
// between up_proj and down_proj. Scales by AWQ (§3.2) or SmoothQuant (Xiao et al. 2022, §4) divide what is read and multiply
// the columns that read it, before anything is quantized: [Result].Folds is to be applied first, and all other parameters are
// those of the weights as they are then. Statistics are rescaled, not collected again, but for one case: static scales of
// rescaled inputs by an observer of more than ranges, for which [CollectFolded] runs the model once more, the folds found
// beforehand by [FitFolds]. A gain stays a bfloat16 number.
//
// # Rotations
//
// [Rotate] turns activations by Hadamard matrices before anything is observed, which spreads outliers over all channels
// (QuaRot, Ashkboos et al. 2024; SpinQuant, Liu et al. 2024, without its training). It is made for activations of 4 bits:
// what a layer reads has no channels left that are far larger than the others, and a scale per token fits all of them.
// Most of it is merged into the weights; as the model runs, a rotation of the residual stream stands at both ends of each
// decoder, one before each down_proj, and one before each quantized layer outside of the decoders. The function of the float
// model stays as it was, up to rounding, and what is between the decoders (the code predictor reads the talker's gained
// states, and both read the same embedding tables) knows nothing of it.
//
// A width of 2^k or 12·2^k is one block, others have several: 80 is five blocks of 16. Those of the published models (1024,
// 2048, 3072, 6144) are one. Statistics belong to the rotation that they were collected under, and say so in their file.
// Scales that move between layers go with rotations, except before down_proj.
//
// [Preset] has the methods of the literature by their names. Any fold goes with any weight method.
//
// # What is degenerate
//
// A weight that is not finite is an error that names its place. A group of zeros has the smallest scale and codes that mean 0.
// A group of one value is off by at most what its rule clips (1/15 by absmax/7.5) and the 8 bits of a scale. An outlier changes
// no other row's scales or codes. A silent channel counts a millionth of the mean. A layer that saw too few rows, and a Hessian that is not positive definite after damping, are errors
// that name the layer; the latter says what to do.
//
// # Statistics in a file
//
// [Statistics].Save keeps what was collected, with hashes of model and data, so that another method need not run the model
// again. A Gram matrix takes 4·In² bytes: 17 MB of 2048 channels, 151 MB of 6144. Nothing here wants all layers at once: a
// large model is collected and fitted one block at a time (package layerwise), and [Result].Add puts the blocks together.
//
// # Activation scales
//
// Dynamic schemes need none. A static scale is max |x| / qmax of the range that the configured observer answers with, on
// the scale grid: all of it ([MinMax]), its [MovingAverage] over batches, a [Percentile], the range of least squared error
// ([MSE]) or of least KL divergence ([Entropy]).
package calib
