// Package talker is the Qwen3-TTS talker (12 Hz family) with its code predictor, for training and for decoding.
//
// The talker reads a sequence of rows. A row is a sum of embeddings: a text token, a codec token, all the codes of one
// audio frame, a speaker vector, or any of these together. A layout function makes rows of an utterance, Collate makes a
// batch of row sequences, and everything after that is the same for every prompt layout:
//
//	seq, err := talker.TrainingRows(m.Config, u)           // [Row], Go slices only
//	batch, err := talker.Collate([]talker.Sequence{seq}, talker.PadRight)
//	err = nn.Run(func(c *nn.Context) error {
//		h := m.Forward(c, batch)                           // [B,T,H], final-normed
//		logits := m.CodecHead.Forward(c, m.Pick(c, h, batch.TargetRows()))
//		...
//	})
//
// DecodingRows lays out a request: cloned, preset and designed voices, with reference speech or without, the whole text at
// once or streaming. Generate speaks such prompts, and Complete is what it feeds if it draws given codes, so that a
// student can be trained on any layout that it will be asked in:
//
//	prompt, err := talker.DecodingRows(m.Config, talker.Request{ID: "a", Text: ids, Voice: &voice, Streaming: true})
//	speech, err := m.Generate(ctx, []talker.Prompt{prompt}, sampling)
//	seq, err := prompt.Complete(m.Config, speech[0].Codes)
//
// The hidden state of row p predicts code 0 of row p+1. It also conditions the code predictor, which reads that hidden
// state and the codes of the frame of row p+1, one code at a time, and predicts codes 1 … G-1. Forward returns hidden
// states only: heads are separate, so that a loss pulls just the logits that it needs.
//
// Shapes: B batch, T rows, H talker width, Hp predictor width, G codes per frame, N frames, V codebook size, Vc codec
// vocabulary (codes, then control tokens and speakers).
package talker
