// Package nn has the layers of a Qwen3-style decoder on gotch: linear projections, embeddings, RMSNorm, rotary
// embedding, grouped-query attention with q/k norm, the SwiGLU MLP and the residual block.
//
// A module is a tree whose paths are the checkpoint's keys: a parameter knows its full name from construction, so that
// loading, saving, optimizing and reporting all walk the same tree with Visit.
//
// Every linear layer sits in a Slot. A slot names its place in the tree and holds whatever computes it now: a float
// Linear, a fake-quantized one, a packed one. Preparing, converting, calibrating and inspecting a model are all walks
// over its slots; the model itself is written once.
//
// A forward pass gets a Context: it owns the temporaries, and whoever wants to watch inputs or outputs hangs its
// functions there. Layers keep no state between calls, so a block may be run again in a backward pass.
//
//	err := nn.Run(func(c *nn.Context) error {
//		y := block.Forward(c, x, rotary, mask, nil)
//		...
//	})
//
// Shapes in comments: B batch, T rows (time), S rows that are attended to, H width, D head_dim.
package nn
