package quant_test

import (
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
)

// One weight of a demo-sized layer, forward and backward.
func BenchmarkFakeQuantizeWeight(b *testing.B) {
	const n, k = 1024, 1024
	sch := quant.DefaultWeightScheme()
	w := gaussian(n*k, 1)
	p, err := quant.InitQParams(w, n, k, sch, quant.SignedMax)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n * k * 4)
	if err := tensor.Run(func(s *tensor.Scope) error {
		wt, g := s.FromFloats(w, n, k), s.FromFloats(w, n, k)
		scale, _ := params(s, p)
		if err := tensor.RequireGrad(wt, true); err != nil {
			return err
		}
		if err := tensor.RequireGrad(scale, true); err != nil {
			return err
		}
		for b.Loop() {
			s.Nest(func(in *tensor.Scope) {
				y := quant.FakeQuantizeWeight(in, wt, scale, nil, sch)
				in.Check("backward", tensor.Backward(in.Sum(in.Mul(y, g))))
			})
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkFakeQuantizeWeightForward(b *testing.B) {
	const n, k = 1024, 1024
	sch := quant.DefaultWeightScheme()
	w := gaussian(n*k, 1)
	p, err := quant.InitQParams(w, n, k, sch, quant.SignedMax)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n * k * 4)
	if err := tensor.Run(func(s *tensor.Scope) error {
		wt := s.FromFloats(w, n, k)
		scale, _ := params(s, p)
		for b.Loop() {
			s.Nest(func(in *tensor.Scope) { quant.FakeQuantizeWeight(in, wt, scale, nil, sch) })
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}

// Packing one weight of the 1.7B talker's MLP takes this long on one core.
func BenchmarkPack(b *testing.B) {
	const n, k = 2048, 2048
	w, sch := gaussian(n*k, 1), quant.DefaultWeightScheme()
	b.SetBytes(n * k * 4)
	for b.Loop() {
		p, err := quant.InitQParams(w, n, k, sch, quant.SignedMax)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := quant.Pack(w, n, k, p, sch); err != nil {
			b.Fatal(err)
		}
	}
}
