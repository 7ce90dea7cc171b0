package distill_test

import (
	"context"
	"testing"

	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
)

// demoModel is a talker of the demo's size with random weights.
func demoModel(b *testing.B, seed int64) *talker.Model {
	cfg, err := talker.ReadConfig("../demo/teacher")
	if err != nil {
		b.Fatal(err)
	}
	m, err := talker.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := nn.Init(m, seed, 0.02); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	return m
}

// BenchmarkStep is updates of a student of the demo's size: 640 frames and more each, in micro-batches of 8.
func BenchmarkStep(b *testing.B) {
	set, err := demo.New().Set(demo.Distillation, 1, 512)
	if err != nil {
		b.Fatal(err)
	}
	labels := distill.Config{Objective: talker.Aligned, CECode0: 1, CECodes: 1, Temperature: 1, Code0Classes: distill.Full}
	for _, bm := range []struct {
		name    string
		teacher *talker.Model
		cfg     distill.Config
		quant   bool
	}{
		{"labels", nil, labels, false},
		{"teacher", demoModel(b, 1), distill.DefaultConfig(), false},
		{"teacher-w4a8", demoModel(b, 1), distill.DefaultConfig(), true},
	} {
		b.Run(bm.name, func(b *testing.B) {
			student := demoModel(b, 2)
			if bm.quant {
				if _, err := qat.Prepare(student, qat.DefaultConfig()); err != nil {
					b.Fatal(err)
				}
			}
			o, err := distill.New(bm.teacher, student, bm.cfg)
			if err != nil {
				b.Fatal(err)
			}
			cfg := train.DefaultConfig()
			cfg.Steps = b.N
			b.ResetTimer()
			res, err := (&train.Loop{Config: cfg, Objective: o, Data: set}).Run(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(res.Frames)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}
