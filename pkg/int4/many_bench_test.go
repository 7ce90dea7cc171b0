package int4

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
)

// Products of 16 and 128 rows on one thread, quantizing them included, beside libtorch's float32 product of the same size.
func BenchmarkMany(b *testing.B) {
	r := rand.New(rand.NewPCG(23, 24))
	for _, size := range [][2]int64{{2048, 2048}, {6144, 2048}, {2048, 6144}} {
		n, k := size[0], size[1]
		for _, M := range []int64{16, 128} {
			x, y := gaussian(r, M*k, 1), make([]float32, M*n)
			report := func(b *testing.B) {
				b.ReportMetric(2*float64(n*k*M)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gop/s")
			}
			for _, group := range []int64{32, 128} {
				w := newWeight(b, r, n, k, scheme(group, true))
				for _, a := range []quant.ActivationScheme{dynamic, {}} {
					if err := w.m.SetInput(a, 0); err != nil {
						b.Fatal(err)
					}
					b.Run(fmt.Sprintf("%dx%d/M%d/g%d/%v", n, k, M, group, a), func(b *testing.B) {
						for b.Loop() {
							if err := w.m.Apply("", x, y); err != nil {
								b.Fatal(err)
							}
						}
						report(b)
					})
				}
				w.m.Close()
			}
			b.Run(fmt.Sprintf("%dx%d/M%d/libtorch", n, k, M), func(b *testing.B) {
				if err := tensor.SetThreads(1); err != nil {
					b.Fatal(err)
				}
				err := tensor.Run(func(s *tensor.Scope) error {
					w, rows := s.Rand(n, k), s.FromFloats(x, M, k)
					for b.Loop() {
						s.Linear(rows, w, nil)
					}
					report(b)
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
