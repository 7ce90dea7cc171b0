// Package distill has the objective that makes a student talker follow its teacher.
//
// Teacher and student read the same batch, every row with the true past ("aligned"): the hidden state of row p-1
// predicts frame p, its code 0 through the codec head and codes 1 … G-1 through the code predictor, which also sees the
// frame's lower codes. Each model conditions its code predictor on its own hidden states, as when it speaks.
//
//	kl_code0   KL(teacher ‖ student) over code 0 and end of speech, rows before a frame or the end
//	kl_codes   the same for codes 1 … G-1, summed over the codebooks
//	hidden     ‖h_s - h_t‖² / ‖h_t‖², the rows of kl_code0; the last hidden state is the code predictor's input
//	eos        KL of the two-way choice "speech ends here" against "it goes on", the rows of kl_code0
//	ce_code0, ce_codes   cross-entropy against the labels
//
// Every term is a mean: kl_code0, hidden, eos and ce_code0 over frames + utterances rows, kl_codes and ce_codes over
// frames, in nats. Softmax and KL are float32 whatever the models compute in. With a temperature T both sides of a KL
// are softened and the term is multiplied by T², so that its gradient keeps its size (Hinton et al. 2015, §2).
//
// A student is fed at inference what the caller chooses: a cloned or a preset voice or an instruction, reference speech, the
// text whole or streaming, the language named or open. So it learns from all of these: a Mix gives every utterance, in every
// epoch, one of the layouts that it has the parts for, by the weights in Layouts. Only what is predicted counts: the frames
// of a reference are read, and no term is about them.
//
//	mix, err := distill.NewMix(utterances, teacher.Config, cfg.Layouts, seed)   // a data.Epochs
//	loop := train.Loop{Data: mix, Objective: objective, ...}
//
// Logits of a batch are never all in memory: heads and terms run in chunks of rows (Config.ChunkRows), each forward and
// backward at once, so that nothing is computed twice.
//
// What a teacher says may come from disk (Config.Cache). A first pass asks it about every batch that the training will
// see, in the layouts that it will see them in; then it can leave memory.
//
//	cache, err := distill.NewCache(ctx, dir, teacher, identity, cfg, loop.Config.Batches(mix), nil)
//	objective, err := distill.NewCached(cache, student, cfg)
//
// Whole distributions (keep = "exact") teach as the teacher does. Of the K most likely classes (keep = "top") the term is the KL
// between distributions in which all other classes are one, with nothing renormalized: Σ_K p·log(p/q) + p_τ·log(p_τ/q_τ),
// p_τ and q_τ being what is left. It is a lower bound of the KL, short by p_τ times the KL within the rest. On the demo,
// whose codebooks have 64 codes, the top 64, 32, 16 and 4 hold 100.0, 96.6, 87.6 and 57 % of kl_codes.
//
// Measure gives the same divergences as numbers, over held-out utterances; a Probe does so for many students.
package distill
