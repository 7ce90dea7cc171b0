// Package train is the training loop that every kind of training here shares: from scratch on labels (pretraining) and
// against a teacher (distillation). What is minimized is an Objective; the loop does the rest.
//
//	loop := train.Loop{Config: cfg, Objective: objective, Data: utterances, Dir: "runs/demo/distill", Resume: resume}
//	result, err := loop.Run(ctx)
//
// One step takes micro-batches from the data until tokens_per_step frames are reached, runs each forward and backward,
// clips the summed gradient and updates. A term is a mean over the frames of the whole step: an objective divides by the
// counts of the step, not by those of the micro-batch, so that cutting a step into other micro-batches leaves the
// gradient as it was.
//
// A checkpoint is a folder
//
//	step-000100/
//	  model.safetensors   the parameters as they train: float32 masters, scales
//	  optim.safetensors   the optimizer's moments
//	  state.json          step, data position, seed, settings, best value, SHA-256 of the other two; written last
//
// that appears whole or not at all. All randomness is a function of (seed, step) and the data order a function of
// (seed, position), so a resumed run continues to the bit. The checkpoint with the best held-out value is kept in best/.
package train
