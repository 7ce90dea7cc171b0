package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/codec"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
)

// initialize gives the codec seeded random weights from which it learns fast: small steps of its residual units, and in
// the decoder code vectors that already say what matters of a code.
func initialize(m *codec.Codec, corpus *demo.Corpus, seed int64) error {
	if err := nn.Init(m, seed, 1); err != nil {
		return err
	}
	last := fmt.Sprintf("decoder.decoder.%d.conv.weight", len(m.Config.Decoder.Rates)+2)
	return tensor.Run(func(s *tensor.Scope) error {
		for _, p := range nn.Params(m) {
			var book int
			rest, _ := fmt.Sscanf(p.Name, "decoder.quantizer.rvq_rest.vq.layers.%d.", &book)
			sum := strings.HasSuffix(p.Name, ".embedding_sum")
			times := func(v float64) { p.Set(s.Release(s.MulScalar(p.T, v))) }
			switch {
			case strings.HasSuffix(p.Name, ".gamma"):
				p.Set(s.Release(s.Full(p.T.DType(), 0.3, p.Shape...)))
			case strings.HasSuffix(p.Name, ".conv2.conv.weight"):
				times(0.2)
			case p.Name == last:
				times(0.1)
			case strings.HasPrefix(p.Name, "encoder.quantizer.semantic") && strings.HasSuffix(p.Name, ".embed_sum"):
				times(0.3)
			case strings.HasSuffix(p.Name, ".embed_sum"):
				times(0.1)
			case sum && rest == 1:
				p.Set(s.Release(s.FromFloats(acousticVectors(corpus, book+1, p.Shape[1]), p.Shape...)))
			case sum:
				p.Set(s.Release(s.FromFloats(semanticVectors(p.Shape[1], seed), p.Shape...)))
			}
		}
		return nil
	})
}

// semanticVectors [Codebook, width] of code 0: what a phone's variants have in common, and a little that they have not.
func semanticVectors(width, seed int64) []float32 {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	draw := func(n int) [][]float64 {
		out := make([][]float64, n)
		for i := range out {
			for range width {
				out[i] = append(out[i], r.NormFloat64())
			}
		}
		return out
	}
	phones, variants := draw(demo.Phones), draw(demo.Variants)
	var v []float32
	for code := range demo.Codebook {
		for j := range width {
			v = append(v, float32(phones[code/demo.Variants][j]+0.15*variants[code%demo.Variants][j]))
		}
	}
	return v
}

// acousticVectors [Codebook, width] of codebook g. The sound needs few facts of these codes, who speaks and how loud,
// which random vectors would bury under noise.
func acousticVectors(corpus *demo.Corpus, g int, width int64) []float32 {
	v := make([]float32, demo.Codebook*width)
	for code := range demo.Codebook {
		who, loud := corpus.Hearing(g, code)
		mean := 0.0
		for _, x := range who {
			mean += x / float64(len(who))
		}
		row := v[int64(code)*width:]
		for j, x := range who {
			row[j] = float32((x - mean) / 8)
		}
		row[len(who)] = float32(loud) / 2
	}
	return v
}
