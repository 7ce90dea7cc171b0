package optim_test

import (
	"testing"

	"github.com/qakd/qakd/internal/shim"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
)

// BenchmarkAdamW is one update of 10 million parameters on one thread; 28 bytes of each are read or written.
func BenchmarkAdamW(b *testing.B) {
	const n = 10_000_000
	err := tensor.Run(func(s *tensor.Scope) error {
		p, g := s.Randn(n), s.Randn(n)
		m, v := s.ZerosLike(p, gotch.Float), s.ZerosLike(p, gotch.Float)
		b.SetBytes(28 * n)
		step := int64(0)
		for b.Loop() {
			step++
			err := shim.AdamW(p, g, nil, m, v, shim.AdamWStep{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, Step: step})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSumSquares is the gradient norm of as many.
func BenchmarkSumSquares(b *testing.B) {
	const n = 10_000_000
	err := tensor.Run(func(s *tensor.Scope) error {
		g := s.Randn(n)
		b.SetBytes(4 * n)
		for b.Loop() {
			if _, err := shim.SumSquares(g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
