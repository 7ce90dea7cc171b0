// Package finetune teaches a base checkpoint one new speaker, by supervised fine-tuning of the talker and its code
// predictor on recordings of that speaker.
//
// The data are lines of JSON: what was said, the codes of the recording (examples/prepare makes them from audio), and a
// clip that the voice is taken from, best the same clip in every line:
//
//	{"audio":"a.wav","text":"Good morning.","ref_audio":"ref.wav","audio_codes":[[…],…]}
//
// The speaker encoder hears the clip; its vector stands in the speaker's row of every prompt and is not trained. After
// every epoch a folder checkpoint-epoch-N, from 0, holds what the reference's fine-tuning leaves: the whole source folder,
// a configuration of type custom_voice that knows the speaker's name, no speaker encoder, and the vector as a row of the
// codec embedding, whose number the configuration gives as the speaker's id.
//
//	job := finetune.Job{Source: dir, Model: m, Rows: rows, Config: cfg, Seed: 1, Dir: "runs/ada"}
//	result, err := job.Run(ctx)
//
// The loss is the one that fits decoding (talker.Aligned): each row predicts the next one's code 0, the code predictor is
// conditioned on the row before the frame, and each of its heads is held against its own code. The reference's published
// script pairs them otherwise, which shows the predictor the frame that it shall predict and makes speech faster with
// every epoch; that form is here to be compared with, and says so.
//
// Against the reference, means are over all frames of an update, not over micro-batches of different lengths, and weights
// are kept in float32 beside bfloat16 ones: at these rates most updates are below half a unit of bfloat16's last place and
// would vanish.
package finetune
