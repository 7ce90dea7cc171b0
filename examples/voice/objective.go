package main

import (
	"fmt"
	"math"

	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch/ts"
)

// speaking teaches a decoder what codes sound like: the samples themselves, which the codes determine, and their spectra.
type speaking struct {
	m        *codec.Codec
	corpus   *demo.Corpus
	spectrum float64 // weight of the spectra beside the samples
}

// Module is the decoder.
func (o *speaking) Module() nn.Module { return o.m.Decoder }

// Terms compares the decoded codes of a micro-batch with the true sound.
func (o *speaking) Terms(c *nn.Context, us []data.Utterance, total train.Counts) ([]train.Term, error) {
	b, err := collate(o.corpus, us)
	if err != nil {
		return nil, err
	}
	codes, truth := b.tensors(c)
	mask := c.FromFloats(b.mask, b.B, b.T*demo.Hop)
	x, truth := c.Mul(o.m.Decoder.Forward(c, codes), mask), c.Mul(truth, mask)
	samples := float64(total.Frames * demo.Hop)
	wave := c.DivScalar(c.Sum(c.Square(c.Sub(x, truth))), samples)
	terms := []train.Term{{Name: "wave", Weight: 1, Value: wave}}
	if o.spectrum > 0 {
		share := float64(b.T) / float64(total.Frames)
		terms = append(terms, train.Term{Name: "spectrum", Weight: o.spectrum, Value: c.MulScalar(spectralLoss(c, x, truth), share)})
	}
	return terms, nil
}

// batch is utterances side by side, the shorter ones filled up with code 0, which sounds of nothing here.
type batch struct {
	B, T        int64
	codes       []int64   // [B, T, G]
	truth, mask []float32 // [B, T·hop]
}

func collate(corpus *demo.Corpus, us []data.Utterance) (*batch, error) {
	b := &batch{B: int64(len(us))}
	for _, u := range us {
		b.T = max(b.T, int64(u.Frames()))
	}
	N := b.T * demo.Hop
	b.codes, b.truth, b.mask = make([]int64, b.B*b.T*demo.Groups), make([]float32, b.B*N), make([]float32, b.B*N)
	for i, u := range us {
		for t, frame := range u.Codes {
			for g, code := range frame {
				b.codes[(i*int(b.T)+t)*demo.Groups+g] = int64(code)
			}
		}
		sound, err := corpus.Speak(u.Codes)
		if err != nil {
			return nil, fmt.Errorf("utterance %q: %w", u.ID, err)
		}
		n := copy(b.truth[i*int(N):], sound)
		for at := i * int(N); at < i*int(N)+n; at += demo.Hop {
			power := 0.0
			for _, v := range b.truth[at : at+demo.Hop] {
				power += float64(v * v)
			}
			w := float32(1 / (math.Sqrt(power/demo.Hop) + 0.02))
			for j := range demo.Hop {
				b.mask[at+j] = w
			}
		}
	}
	return b, nil
}

func (b *batch) tensors(c *nn.Context) (codes, truth *ts.Tensor) {
	return c.FromInts(b.codes, b.B, b.T, demo.Groups), c.FromFloats(b.truth, b.B, b.T*demo.Hop)
}

// frames is 1 for frames that are spoken, 0 for those that only fill [B·T].
func (b *batch) frames() []float32 {
	out := make([]float32, b.B*b.T)
	for i := range out {
		if b.mask[i*demo.Hop] > 0 {
			out[i] = 1
		}
	}
	return out
}
