package talker

import (
	"context"
	"fmt"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
)

// benchModel is a random talker of the demo's size: width 256, 3 layers, 16 codebooks of 64.
func benchModel(b *testing.B) *Model {
	b.Helper()
	cfg, err := ReadConfig("../demo/teacher")
	if err != nil {
		b.Fatal(err)
	}
	m, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := nn.Init(m, 1, 0.02); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	return m
}

func benchBatch(b *testing.B, m *Model, sequences, frames int) *Batch {
	b.Helper()
	var seqs []Sequence
	for i := range sequences {
		var codes [][]int32
		for f := range frames {
			frame := make([]int32, m.Config.Groups())
			for g := range frame {
				frame[g] = int32((7*i + 3*f + g) % int(m.Config.Codebook()))
			}
			codes = append(codes, frame)
		}
		s, err := FineTuningRows(m.Config, fmt.Sprint(i), append(m.Config.Role(), 5, 6, 7, 8, 9, 10), codes, Voice{ID: 1000})
		if err != nil {
			b.Fatal(err)
		}
		seqs = append(seqs, s)
	}
	batch, err := Collate(seqs, PadRight)
	if err != nil {
		b.Fatal(err)
	}
	return batch
}

// BenchmarkTrainingPass is forward and backward of all losses: 8 utterances of 40 frames.
func BenchmarkTrainingPass(b *testing.B) {
	m := benchModel(b)
	batch := benchBatch(b, m, 8, 40)
	for _, p := range nn.Params(m) {
		if err := tensor.RequireGrad(p.T, true); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		err := nn.Run(func(c *nn.Context) error {
			l, err := m.Loss(c, batch, Aligned)
			if err != nil {
				return err
			}
			return tensor.Backward(l.Total)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(batch.Frame))*float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkGenerate decodes 32 utterances in one batch, 20 frames each.
func BenchmarkGenerate(b *testing.B) {
	m := benchModel(b)
	var prompts []Prompt
	for i := range 32 {
		p, err := DecodingRows(m.Config, Request{ID: fmt.Sprint(i), Text: []int32{5, 6, 7, 8, 9}[:2+i%4], Voice: &Voice{ID: 1000}})
		if err != nil {
			b.Fatal(err)
		}
		prompts = append(prompts, p)
	}
	s := DefaultSampling()
	s.MaxNewTokens = 21
	frames := 0
	for b.Loop() {
		out, err := m.Generate(context.Background(), prompts, s)
		if err != nil {
			b.Fatal(err)
		}
		for _, u := range out {
			frames += len(u.Codes)
		}
	}
	b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
}
