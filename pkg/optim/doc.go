// Package optim updates parameters: AdamW with float32 or 8-bit moments, with master weights or stochastic rounding,
// gradient clipping, loss scaling, and a learning-rate schedule.
//
//	groups := optim.Groups(nn.Params(model), cfg)
//	opt, err := optim.New(groups, cfg)
//	defer opt.Close()
//	for k := range steps {
//		... forward, tensor.Backward(loss) ...
//		norm, err := opt.Step(cfg.Schedule.Factor(k, steps))
//	}
//
// One update of a parameter w with gradient g, at its t-th update, all in float32 (Loshchilov and Hutter 2019, decay
// decoupled as in torch.optim.AdamW):
//
//	d = g · min(1, clip/(‖all g‖₂ + 1e-6))
//	m = m + (d - m)·(1-β1)
//	v = v·β2 + d²·(1-β2)
//	w = w·(1 - η·λ) - η/(1-β1^t) · m / (√v/√(1-β2^t) + ε)
//
// η is the group's peak rate times the schedule's factor, λ the group's weight decay.
//
// With state_bits = 8 the moments of parameters of at least [MinCoded] elements are kept as bitsandbytes keeps them (Dettmers
// et al. 2022): codes of 8 bits in blocks of 256, with a float32 for the largest magnitude of each, 2.03 bytes a parameter
// instead of 8. Codes, magnitudes and updates are those of its AdamW8bit, but for one rule: a v above 0 is never stored as
// 0, which would leave m/ε as the next step of a weight without gradient.
//
// Weights in half precision move by less than their own spacing. With weights = "masters" a float32 copy is updated and
// rounded into them; with weights = "stochastic" bf16 weights have no copy and are rounded up or down by chance, so that
// the mean is exact. The chance is a hash of seed, parameter, step and element.
//
// Gradients in f16 underflow: loss_scale multiplies the loss, adapts itself to overflows, and leaves the overflown updates
// out. A power of two, it changes no other bit.
//
// The CPU's update is one pass over all parameters (internal/native/adamw); other devices use tensor operations. Nothing
// depends on the number of threads.
//
// Everything that an update depends on is in named tensors, so that a resumed training equals an undisturbed one to the
// bit. For a parameter P they are P.exp_avg (m), P.exp_avg_sq (v), both with .absmax where they are codes, P.step (t, int64)
// and, where there is one, P.master. The loss scale is in the file's metadata.
package optim
