package optim_test

import (
	"fmt"
	"testing"

	"github.com/qakd/qakd/internal/shim"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch/ts"
)

// shelf is an optimizer for n matrices of so many rows of 1024, and their gradients.
func shelf(b *testing.B, bits int, n int, rows int64) *optim.AdamW {
	var ps []*nn.Param
	var grads []*ts.Tensor
	err := tensor.Run(func(s *tensor.Scope) error {
		for i := range n {
			p := nn.NewParam(fmt.Sprint(i), nn.Normal, rows, 1024)
			p.Set(s.Release(s.Randn(rows, 1024)))
			ps, grads = append(ps, p), append(grads, s.Release(s.Randn(rows, 1024)))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	cfg := optim.DefaultConfig()
	cfg.StateBits = bits
	o, err := optim.New([]optim.Group{{Name: "g", Params: ps, LR: 1e-3}}, cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		o.Close()
		for i, p := range ps {
			p.Set(nil)
			grads[i].Drop()
		}
	})
	for i, p := range ps {
		if err := tensor.SetGradient(p.T, grads[i]); err != nil {
			b.Fatal(err)
		}
	}
	return o
}

// BenchmarkAdamW is one update of 10 million parameters on one thread; with float32 states 28 bytes of each are read or
// written, with 8 bits 16. The small ones show what a parameter costs that hardly has an element.
func BenchmarkAdamW(b *testing.B) {
	for _, c := range []struct {
		name     string
		bits, n  int
		rows     int64
		moved    float64 // bytes a parameter
		elements int64
	}{{"float32", 32, 10, 1000, 28, 10_240_000}, {"8bit", 8, 10, 1000, 16, 10_240_000}, {"small", 32, 100, 1, 28, 102_400}} {
		b.Run(c.name, func(b *testing.B) {
			o := shelf(b, c.bits, c.n, c.rows)
			b.SetBytes(int64(c.moved * float64(c.elements)))
			for b.Loop() {
				if err := o.Apply(1, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
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
