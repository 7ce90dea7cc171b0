package int4

import (
	"math/rand/v2"
	"os"
	"testing"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// The native description gives the same bits as Apply with any number of threads, bias included, and rows as floats.
func TestNative(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 11))
	w := newWeight(t, r, 150, 256, scheme(128, false))
	defer w.m.Close()
	bias := gaussian(r, 150, 1)
	for _, a := range []quant.ActivationScheme{{}, dynamic, {Bits: 8, Mode: quant.StaticTensor}} {
		if err := w.m.SetInput(a, 1.0/32); err != nil {
			t.Fatal(err)
		}
		for _, kernels := range Kernels() {
			for _, M := range []int64{1, 3, 8, 20} {
				x, want := gaussian(r, M*256, 1), make([]float32, M*150)
				if err := w.m.Apply(kernels, x, want); err != nil {
					t.Fatal(err)
				}
				for i := range want {
					want[i] += bias[i%150]
				}
				for _, threads := range []int{1, 2, 5} {
					p, err := native.NewPool(threads, "")
					if err != nil {
						t.Fatal(err)
					}
					d, err := w.m.Native(kernels, bias)
					if err != nil {
						t.Fatal(err)
					}
					got, both := make([]float32, M*150), make([]float32, 2*M*150)
					if err := p.Apply(d, x, got); err != nil || !sameBits(got, want) {
						t.Fatalf("%s, %v, %d rows, %d threads: other bits (%v)", kernels, a, M, threads, err)
					}
					if err := p.ApplyGroup([]*native.Matrix{d, d}, x, both); err != nil || !sameBits(both[:M*150], want) || !sameBits(both[M*150:], want) {
						t.Fatalf("%s, %v, %d rows, %d threads, in a group: other bits (%v)", kernels, a, M, threads, err)
					}
					d.Close()
					p.Close()
				}
			}
		}
	}
}
