package calib

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
)

// One core, 2048 x 2048 weights, the default grid of 80 points.
func BenchmarkSearch(b *testing.B) {
	for name, sch := range map[string]quant.WeightScheme{
		"sym-g32":  quant.DefaultWeightScheme(),
		"sym-g128": {Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 128},
		"asym-g32": {Bits: 4, Granularity: quant.PerGroup, GroupSize: 32},
	} {
		b.Run(name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			r := rand.New(rand.NewPCG(1, 1))
			const n, k = 2048, 2048
			w, h := make([]float32, n*k), make([]float64, k)
			for i := range w {
				w[i] = float32(r.NormFloat64() * 0.02)
			}
			for i := range h {
				h[i] = r.ExpFloat64()
			}
			for b.Loop() {
				if _, err := bestQParams(w, h, n, k, sch, DefaultConfig()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*k), "ns/weight")
		})
	}
}
