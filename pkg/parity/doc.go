// Package parity compares the model with goldens of the reference implementation.
//
// A fixture is a folder with a checkpoint and with golden/manifest.json, which names tensors, their files and their
// tolerances. For every tensor that a section here can compute, Run computes it with the library's own code and holds it
// against the golden by the manifest's tolerance and comparison rule:
//
//	|got - want| ≤ atol + rtol·|want|     element by element; "exact" means equal
//
// Sections compute talker, code_predictor, sft, bf16 and grad_norms.json. Inputs of these (text ids, random hidden
// states, speaker vectors, …) come from the golden and are not checks. Everything else (speech in and out, prompts,
// sampling, the tokenizer) is unsupported, and listed as such. Goldens of a file that the folder lacks are absent.
package parity
