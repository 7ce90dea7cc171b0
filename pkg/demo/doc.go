// Package demo is a synthetic language with 16 codebooks, so that everything runs offline and every result can be
// compared with the truth.
//
// Real speech has no known probabilities, so nobody can say how far a model is from the best one. Here the truth is
// written down: a frame is drawn from probabilities that depend on the text, the speaker and the frame before, and on
// nothing hidden. The entropy of the language is therefore exact, and a trained model's cross-entropy on held-out
// utterances minus that entropy is the model's error in nats.
//
//   - A text is 3 to 7 distinct phones out of 16, written as diphones (see Letters). Speech walks through it: a frame
//     keeps its phone or takes the next one; after the last phone the utterance ends.
//   - Code 0 is phone * 4 + variant. Staying depends on phone, variant and speaker; the new variant on the phone, the
//     speaker and the variant before. Distinct phones make the place in the text visible in the frame before.
//   - Code g = 1 … 15 has log-linear probabilities: code g-1 of the frame, the speaker's voice and the prosody of the
//     frame before (coordinates to which each of its 16 codes adds its accent), each through a table of low rank.
//
// The language can be heard, too: Speak gives the waveform of codes, by a rule again, so that a speech tokenizer can be
// trained on it (examples/voice), and a Listener tells how much of what a decoder makes is understood.
//
// Use:
//
//	c := demo.New()
//	set, err := c.Set(demo.Evaluation, 1, 400)     // a data.Set, pure function of (split, seed, index)
//	score, err := c.Score(set, demo.Straight)      // entropy and cross-entropy of the truth, by codebook
//	samples, err := c.Speak(u.Codes)               // 24 kHz, 1920 samples a frame
//
// Splits are disjoint by text whatever the seeds are: the hash of a text decides where it belongs.
//
// The package needs no libtorch.
package demo
