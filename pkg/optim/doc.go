// Package optim updates parameters: AdamW with float32 master weights, gradient clipping, and a learning-rate schedule.
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
// Everything that an update depends on is in named tensors, so that a resumed training equals an undisturbed one to the
// bit. For a parameter P they are P.exp_avg (m), P.exp_avg_sq (v), P.step (t, int64) and, where P itself is not float32,
// P.master. Each has its own dtype: a variant with 8-bit moments, or with bf16 weights and stochastic rounding keyed by
// (P, P.step), changes entries of that list and nothing else.
package optim
