package int4

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// net is three projections of one input.
type net struct{ g nn.Group }

func (n net) Visit(v nn.Visitor) { n.g.Visit(v) }

// packedNet has random packed layers, the first two as cfg says, the third with groups that the kernels do not know.
func packedNet(t *testing.T, cfg qat.Config) net {
	t.Helper()
	n := net{nn.Group{nn.NewSlot("a", 128, 48, true), nn.NewSlot("b", 128, 20, false), nn.NewSlot("c", 128, 16, false)}}
	if err := nn.Init(n, 3, 0.05); err != nil {
		t.Fatal(err)
	}
	g64 := scheme(64, cfg.Weight.Symmetric)
	cfg.Include, cfg.Exclude = []string{"*"}, nil
	cfg.Overrides = append(cfg.Overrides, qat.Override{Include: []string{"c"}, Weight: &g64})
	if _, err := qat.Prepare(n, cfg); err != nil {
		t.Fatal(err)
	}
	if err := qat.Convert(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Free(n); nn.Close(n) })
	return n
}

func run(t *testing.T, f func(c *nn.Context) error) {
	t.Helper()
	if err := nn.Run(f); err != nil {
		t.Fatal(err)
	}
}

// groupOutputs are the group's for x [2, 5, 128] and for one row.
func groupOutputs(t *testing.T, n net) (all [][]float32) {
	t.Helper()
	run(t, func(c *nn.Context) error {
		x := gaussian(rand.New(rand.NewPCG(1, 2)), 10*128, 1)
		for _, in := range []*ts.Tensor{c.FromFloats(x, 2, 5, 128), c.FromFloats(x[:128], 128)} {
			for i, y := range n.g.Forward(c, in) {
				want := append(c.Shape(in)[:len(c.Shape(in))-1], n.g[i].Out)
				if got := c.Shape(y); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("output %v, want %v", got, want)
				}
				v, err := tensor.Floats(y)
				if err != nil {
					return err
				}
				all = append(all, v)
			}
		}
		return nil
	})
	return all
}

// Swapped layers compute what the packed ones did, in a group and alone; the others stay and are named.
func TestSwap(t *testing.T) {
	for _, symmetric := range []bool{true, false} {
		for _, a := range []quant.ActivationScheme{{}, dynamic} {
			cfg := qat.DefaultConfig()
			cfg.Weight, cfg.Activation = scheme(32, symmetric), a
			n := packedNet(t, cfg)
			want := groupOutputs(t, n)
			var dense [][]float32
			weights := func() (all [][]float32) {
				run(t, func(c *nn.Context) error {
					for _, s := range n.g {
						w, err := tensor.Floats(s.P.Weight(c))
						if err != nil {
							return err
						}
						all = append(all, w)
					}
					return nil
				})
				return all
			}
			dense = weights()
			swapped, left, err := Swap(n, SwapOptions{})
			if err != nil || swapped != 2 || len(left) != 1 || left[0].Path != "c" || !strings.Contains(left[0].Why.Error(), "g64") {
				t.Fatalf("%d swapped, left %v, error %v", swapped, left, err)
			}
			for i, w := range weights() {
				if !sameBits(w, dense[i]) {
					t.Errorf("weight %d has other bits", i)
				}
			}
			for i, y := range groupOutputs(t, n) {
				for k := range y {
					if d := math.Abs(float64(y[k] - want[i][k])); d > 1e-5*(1+math.Abs(float64(want[i][k]))) {
						t.Fatalf("symmetric %v, %v: output %d[%d] is %v, want %v", symmetric, a, i, k, y[k], want[i][k])
					}
				}
			}
			n.g = n.g[:2] // all of one kind: one call for both
			for i, y := range groupOutputs(t, n) {
				v := want[i+i/2][7] // of three
				if d := float64(y[7] - v); math.Abs(d) > 1e-5*(1+math.Abs(float64(v))) {
					t.Fatalf("symmetric %v, %v: in a group, output %d[7] is %v, want %v", symmetric, a, i, y[7], v)
				}
			}
		}
	}
}

// bf16 in, bf16 out; no rows give no rows; no gradients, no other width.
func TestLinearInputs(t *testing.T) {
	n := packedNet(t, qat.DefaultConfig())
	if _, _, err := Swap(n, SwapOptions{}); err != nil {
		t.Fatal(err)
	}
	l := n.g[0].P.(*Linear)
	run(t, func(c *nn.Context) error {
		x := c.Randn(3, 128)
		y := l.Forward(c, c.To(x, gotch.BFloat16))
		if y.DType() != gotch.BFloat16 {
			t.Errorf("output of bf16 is %v", y.DType())
		}
		if got := c.Shape(l.Forward(c, c.Zeros(gotch.Float, 0, 128))); fmt.Sprint(got) != "[0 48]" {
			t.Errorf("output of no rows is %v", got)
		}
		return nil
	})
	for want, f := range map[string]func(c *nn.Context){
		"a has no gradients": func(c *nn.Context) {
			x := c.Randn(3, 128)
			c.Check("test", tensor.RequireGrad(x, true))
			l.Forward(c, x)
		},
		"a: input [3 64], want width 128": func(c *nn.Context) { l.Forward(c, c.Randn(3, 64)) },
	} {
		if err := nn.Run(func(c *nn.Context) error { f(c); return nil }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, _, err := Swap(n, SwapOptions{Kernels: "mmx"}); err != nil {
		t.Errorf("nothing is left to swap but the layer that stays: %v", err)
	}
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

// Several threads may compute with one model, from its first use on.
func TestLinearIsShared(t *testing.T) {
	cfg := qat.DefaultConfig()
	cfg.Weight, cfg.Activation = scheme(32, true), dynamic
	n := packedNet(t, cfg)
	if _, _, err := Swap(n, SwapOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := tensor.SetThreads(3); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tensor.SetThreads(1) })
	x := gaussian(rand.New(rand.NewPCG(1, 2)), 4*128, 1)
	ys := make([][]float32, 6)
	err := tensor.Each(len(ys), func(i int) error {
		return nn.Run(func(c *nn.Context) (err error) {
			ys[i], err = tensor.Floats(n.g[0].Forward(c, c.FromFloats(x, 4, 128)))
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, y := range ys {
		if !sameBits(y, ys[0]) {
			t.Errorf("use %d gives other bits", i)
		}
	}
}
