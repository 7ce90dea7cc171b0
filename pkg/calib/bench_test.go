package calib

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

var g128 = quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 128}

// benchmark makes a weight [n, k] and correlated inputs [rows, k] and calls f with them, on all CPUs.
func benchmark(b *testing.B, n, k, rows int64, f func(c *nn.Context, w []float32, x *ts.Tensor)) {
	if err := tensor.SetThreads(runtime.NumCPU()); err != nil {
		b.Fatal(err)
	}
	defer tensor.SetThreads(1)
	r := rand.New(rand.NewPCG(1, 1))
	w := make([]float32, n*k)
	for i := range w {
		w[i] = float32(r.NormFloat64() * 0.02)
	}
	err := nn.Run(func(c *nn.Context) error {
		mix, size := c.MulScalar(c.Randn(64, k), 1./8), make([]float32, k)
		for i := range size {
			size[i] = float32(math.Exp(0.7 * r.NormFloat64()))
		}
		x := c.Mul(c.Add(c.Matmul(c.Randn(max(rows, 1), 64), mix), c.MulScalar(c.Randn(max(rows, 1), k), 0.3)), c.FromFloats(size, k))
		for b.Loop() {
			c.Nest(func(in *nn.Context) { f(in, w, x) })
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func mean(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	return c.MulScalar(Product(c.Scope, x), 1/float64(c.Shape(x)[0]))
}

func BenchmarkNearest6144(b *testing.B) {
	const n, k = 6144, 2048
	codes := make([]byte, n*k)
	benchmark(b, n, k, 0, func(c *nn.Context, w []float32, _ *ts.Tensor) {
		if _, _, err := nearest(w, n, k, g128, quant.AbsMax, codes); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkSearch6144(b *testing.B) {
	const n, k = 6144, 2048
	cfg := DefaultConfig()
	cfg.GridPoints, cfg.Weighting = 40, WeightNone
	benchmark(b, n, k, 0, func(c *nn.Context, w []float32, _ *ts.Tensor) {
		if _, err := fitScales(c, w, nil, nil, n, k, g128, cfg); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkGPTQ6144(b *testing.B) {
	const n, k = 6144, 2048
	cfg := DefaultConfig().GPTQ
	benchmark(b, n, k, 8192, func(c *nn.Context, w []float32, x *ts.Tensor) {
		h := mean(c, x)
		p, _, err := nearest(w, n, k, g128, quant.AbsMaxHalf, nil)
		if err == nil {
			_, err = gptq(c, w, n, k, h, p, g128, cfg)
		}
		if err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkAutoRound2048(b *testing.B) {
	const n, k = 2048, 2048
	benchmark(b, n, k, 8192, func(c *nn.Context, w []float32, x *ts.Tensor) {
		if _, _, err := autoRound(c, w, n, k, mean(c, x), g128, DefaultConfig().AutoRound); err != nil {
			b.Fatal(err)
		}
	})
}
