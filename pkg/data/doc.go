// Package data holds utterances: what a talker is trained on, calibrated with and measured by.
//
// An utterance is a text (token ids), a voice (a speaker's name, a vector, a reference or an instruction) and the codes
// of its audio frames. Utterances come from a Source (a stream, for files) or from a Set (random access, for generated
// corpora and for data held in memory):
//
//	src, err := data.OpenJSONL("train.jsonl")     // Source
//	set, err := data.ReadAll(src)                 // Set; an empty source is an error here
//	sampler, err := data.NewSampler(set, data.SamplerConfig{BatchSize: 8, Seed: 1, Shuffle: true})
//	batch, err := sampler.Batch(i)                // pure function of (set, configuration, i)
//
// A batch is a pure function of its index, so the only state of a sampler is the index of the next batch: a run that
// stops after batch 99 resumes exactly by asking for batch 100.
//
// A JSONL row is
//
//	{"id":"u1","text_ids":[64,65],"speaker":"ada","language":"auto","audio_codes":[[3,1,4],[1,5,9]]}
//
// with audio_codes[f][g] the code of frame f (80 ms) and codebook g, as the fine-tuning data of Qwen3-TTS has it. Further
// keys say what else a prompt can be made of:
//
//	text, instruct, ref_text             what is said, how, and what the reference says; in place of their ids
//	text_ids, instruct_ids, ref_text_ids the same as token ids, which win; ids of texts are those of the body alone
//	speaker_vector                       the voice as the speaker encoder hears it
//	ref_audio_codes                      the reference's audio, as audio_codes
//	audio, ref_audio                     paths, carried along
//
// Any other key is an error. Texts are tokenized as they are read, by the Tokenizer of the Reader. What a file has is
// kept: a Writer writes all of it back.
//
// The package needs no libtorch.
package data
