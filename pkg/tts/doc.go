// Package tts speaks: it puts the parts of one Qwen3-TTS checkpoint together, from a text to a waveform.
//
//	s, err := tts.Open("models/Qwen3-TTS-12Hz-0.6B-Base", tts.Options{})
//	defer s.Close()
//	clip, err := audio.Load("voice.wav", tts.InputRate)
//	voice, err := s.Clone(clip.Samples, "What the recording says.")       // "" clones by the voice's vector alone
//	line := tts.Line{Text: "Hello.", Language: "english", Voice: voice}
//	sound, err := s.Speak(ctx, line, s.Sampling, nil)                    // sound.Samples at s.Rate()
//
// Base checkpoints clone voices, custom_voice ones have preset speakers, voice_design ones make up a voice from an
// instruction. The talker may be float, fake-quantized or packed: the folder says which. A part that a folder lacks (a
// fake-quantized student has no speech tokenizer) comes from the folder Options.Parts.
//
// Speech can be heard while it is made: a sink receives samples as soon as their frames are drawn, and these samples are
// the ones that the finished sound has.
package tts
