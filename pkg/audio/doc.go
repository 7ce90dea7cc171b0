// Package audio reads and writes WAV files and changes sample rates, without torch or cgo.
//
// Everything here is mono: samples are float32 with full scale at ±1. Read mixes channels down by their mean, and
// Resample is a polyphase windowed sinc:
//
//	clip, err := audio.Load("voice.wav", 24000) // any rate, any channels, as 24 kHz mono
//	...
//	err = audio.Write("out.wav", audio.Clip{Rate: 24000, Samples: samples}, audio.PCM16)
//
// Create is for samples that are still being made:
//
//	w, err := audio.Create("out.wav", 24000, audio.PCM16)
//	if err != nil {
//		return err
//	}
//	defer w.Abort() // no effect once closed
//	for packet := range packets {
//		if err := w.Write(packet); err != nil {
//			return err
//		}
//	}
//	return w.Close()
//
// A file appears under its name when it is complete, and not before.
package audio
