// Package prepare makes utterances (package data) to train with: from recordings and their texts, or from texts alone that
// a teacher speaks.
//
// Recordings are encoded by the checkpoint's speech tokenizer, in batches of the size that the reference's own preparation
// has, so that the codes are the same; a recording of the voice (ref_audio) becomes the vector, and with its transcript
// (ref_text) the codes, that a base checkpoint is prompted by. A teacher draws codes from texts with seeded sampling: for
// distillation that is the best data, since it is what the teacher itself would say.
//
// A row that cannot be used is skipped, with its reason; see Summary. The work is kept in a file beside the result, batch
// by batch: an interrupted run goes on from its last whole batch, and ends with the bytes of one that was not interrupted.
package prepare
