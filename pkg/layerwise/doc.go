// Package layerwise takes a talker over a set of batches one part after the other: a part sees all batches before the next
// one begins. What goes on from part to part, one tensor a batch, lies in a file, so memory holds one batch's activations and
// whatever is done with one part, however much data there is:
//
//	w, err := layerwise.Open(dir, identity, model, batches)
//	for i, part := range w.Parts {
//		for step, err := range w.Steps(ctx, i) {
//			...                                  // step.Forward(c) runs the part on one batch
//		}
//	}
//
// Post-training methods that go through a decoder block by block need no more than that: GPTQ (Frantar et al. 2022, §4),
// AutoRound, block-wise training (EfficientQAT, Chen et al. 2024, §3.2).
//
// The files are written in the activations' own dtype, so a walk computes what the whole model does, to the bit. They
// appear when a part is done and go when the part behind the next one is: a walk that was interrupted goes on at its part.
package layerwise
