package main

import (
	"context"
	"fmt"
	"math"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/tts"
)

// heard is how well speech is understood: shares of all frames.
type heard struct {
	Phones float64 `json:"phones"` // the right one of 16
	Pitch  float64 `json:"pitch"`  // of the voiced frames, within 3 % of the true one
}

// speech is a measurement of many utterances of one origin.
type speech struct {
	Frames   int     `json:"frames"`
	True     heard   `json:"true"`        // of the true sound: what a perfect decoder would reach
	Decoded  heard   `json:"decoded"`     // of the decoder's
	Again    heard   `json:"again"`       // of what is decoded from the encoder's codes of the true sound
	Distance float64 `json:"distance_db"` // between the spectra of the true and the decoded sound
	SNR      float64 `json:"snr_db"`      // power of the true sound over that of the difference
	Code0    float64 `json:"code0"`       // share of frames whose code 0 the encoder finds in the true sound
	Codes    float64 `json:"codes"`       // of codes 1 … 15, of which the sound tells little
}

// verdict on a codec.
type verdict struct {
	Corpus  speech `json:"corpus"`  // held-out utterances of the language
	Teacher speech `json:"teacher"` // codes that the built-in talker draws for held-out texts
}

const judged = 64 // utterances of each

// judge measures the codec in a folder.
func judge(ctx context.Context, dir string) (verdict, error) {
	m, err := codec.Load(dir, codec.Options{})
	if err != nil {
		return verdict{}, err
	}
	defer m.Close()
	set, err := demo.New().Set(demo.Evaluation, 1, judged)
	if err != nil {
		return verdict{}, err
	}
	var corpus [][][]int32
	for i := range set.Len() {
		u, err := set.At(i)
		if err != nil {
			return verdict{}, err
		}
		corpus = append(corpus, u.Codes)
	}
	drawn, err := draw(ctx, set)
	if err != nil {
		return verdict{}, err
	}
	var v verdict
	if v.Corpus, err = measure(ctx, m, corpus); err != nil {
		return v, err
	}
	v.Teacher, err = measure(ctx, m, drawn)
	return v, err
}

// draw lets the built-in talker speak the texts of a set, in turn with each speaker.
func draw(ctx context.Context, set *demo.Set) ([][][]int32, error) {
	dir, err := demo.TeacherDir()
	if err != nil {
		return nil, err
	}
	s, err := tts.OpenSilent(dir, tts.Options{})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	lines := make([]tts.Line, set.Len())
	names := demo.Speakers()
	for i := range lines {
		lines[i] = tts.Line{ID: fmt.Sprint(i), Text: demo.Letters(set.Text(i)), Speaker: names[i%len(names)]}
	}
	s.Sampling.Seed = 1
	said, err := s.Draw(ctx, lines, s.Sampling)
	if err != nil {
		return nil, err
	}
	var codes [][][]int32
	for _, one := range said {
		if len(one.Codes) > 0 { // the talker may end at once
			codes = append(codes, one.Codes)
		}
	}
	return codes, nil
}

// measure decodes utterances, and encodes and decodes their true sound.
func measure(ctx context.Context, m *codec.Codec, utterances [][][]int32) (s speech, err error) {
	corpus, listener := demo.New(), demo.NewListener()
	var voiced, signal, noise float64
	for _, codes := range utterances {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		truth, err := corpus.Speak(codes)
		if err != nil {
			return s, err
		}
		pitch, err := corpus.Pitch(codes)
		if err != nil {
			return s, err
		}
		decoded, err := m.Decode(codes)
		if err != nil {
			return s, err
		}
		found, err := m.Encode(truth)
		if err != nil {
			return s, err
		}
		again, err := m.Decode(found)
		if err != nil {
			return s, err
		}
		s.True.add(listener, truth, codes, pitch)
		s.Decoded.add(listener, decoded, codes, pitch)
		s.Again.add(listener, again, codes, pitch)
		s.Distance += listener.Distance(truth, decoded) * float64(len(codes))
		for i, v := range truth {
			d := float64(v - decoded[i])
			signal, noise = signal+float64(v*v), noise+d*d
		}
		for f, frame := range codes {
			s.Frames++
			if pitch[f] > 0 {
				voiced++
			}
			for g, code := range frame {
				switch {
				case found[f][g] != code:
				case g == 0:
					s.Code0++
				default:
					s.Codes++
				}
			}
		}
	}
	n := float64(s.Frames)
	for _, h := range []*heard{&s.True, &s.Decoded, &s.Again} {
		h.Phones, h.Pitch = h.Phones/n, h.Pitch/voiced
	}
	s.Distance, s.Code0, s.Codes = s.Distance/n, s.Code0/n, s.Codes/n/(demo.Groups-1)
	s.SNR = 10 * math.Log10(signal/noise)
	return s, nil
}

// add counts the frames of an utterance that are heard right.
func (h *heard) add(l *demo.Listener, samples []float32, codes [][]int32, pitch []float64) {
	for f, phone := range l.Phones(samples) {
		if phone == demo.Phone(codes[f]) {
			h.Phones++
		}
	}
	for f, hz := range l.Pitch(samples) {
		if pitch[f] > 0 && math.Abs(hz/pitch[f]-1) < 0.03 {
			h.Pitch++
		}
	}
}

func (v verdict) table() *report.Table {
	t := &report.Table{Title: "held-out speech, per cent of frames heard right", Columns: []string{"codes of", "frames", "phones: true sound",
		"decoded", "encoded, decoded", "pitch: true sound", "decoded", "encoded, decoded", "distance dB", "SNR dB", "code 0 found", "codes 1… found"}}
	for _, r := range []struct {
		name string
		speech
	}{{"the language", v.Corpus}, {"the teacher", v.Teacher}} {
		t.Add(r.name, r.Frames, 100*r.True.Phones, 100*r.Decoded.Phones, 100*r.Again.Phones, 100*r.True.Pitch, 100*r.Decoded.Pitch,
			100*r.Again.Pitch, r.Distance, r.SNR, 100*r.Code0, 100*r.Codes)
	}
	return t
}
