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
// over a grid of clip ranges. h is 1, or the channels' second moments: then the sum is the expected squared error of the
// layer's output, up to the correlations between channels (llama.cpp calls h the importance matrix). Candidates are
// rounded to the scale grid before they are measured, in the exact arithmetic of package quant, and the fixed rules'
// scales are among them: the search never loses to a rule under its own measure. Equal errors go to the earlier
// candidate; nothing is random.
//
// # Activation scales
//
// Dynamic schemes need none. A static scale is max |x| / qmax of the range that the configured observer answers with, on
// the scale grid.
package calib
