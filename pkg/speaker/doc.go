// Package speaker turns a voice into a vector: the mel spectrogram and the speaker encoder of a Qwen3-TTS base checkpoint.
//
//	enc, err := speaker.Load("Qwen3-TTS-12Hz-0.6B-Base", speaker.Options{})
//	if err != nil {
//		return err
//	}
//	defer enc.Close()
//	x, err := enc.Embed(samples) // mono at speaker.Rate; [enc_dim], as wide as the talker
//
// The encoder is a variant of ECAPA-TDNN (Desplanques et al. 2020, arXiv:2005.07143): convolutions over time that look at
// ever wider surroundings, each block reweighting its channels by what the whole clip holds, then a pooling over time that
// learns which frames tell most about the speaker. Unlike there, nothing is normalized by batch statistics, and neither is
// the result.
//
// Shapes: B clips, T mel frames of 256 samples, M mel bands, C channels. Between the layers it is [B,C,T].
package speaker
