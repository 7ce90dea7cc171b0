// Package data holds utterances: what a talker is trained on, calibrated with and measured by.
//
// An utterance is a text (token ids), a speaker and the codes of its audio frames. Utterances come from a Source (a
// stream, for files) or from a Set (random access, for generated corpora and for data held in memory):
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
// with audio_codes[f][g] the code of frame f (80 ms) and codebook g, as the fine-tuning data of Qwen3-TTS has it. The
// keys audio, text and ref_audio of that format are allowed and not read; any other key is an error.
//
// The package needs no libtorch.
package data
