package packed

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/int8"
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

// packedNet has random packed layers: the first as cfg says, the others with INT8 weights per channel and INT4 ones per
// tensor.
func packedNet(t *testing.T, cfg qat.Config) net {
	t.Helper()
	n := net{nn.Group{nn.NewSlot("a", 128, 48, true), nn.NewSlot("b", 128, 20, false), nn.NewSlot("c", 128, 16, false)}}
	if err := nn.Init(n, 3, 0.05); err != nil {
		t.Fatal(err)
	}
	w8 := quant.WeightScheme{Bits: 8, Symmetric: cfg.Weight.Symmetric, Granularity: quant.PerChannel}
	w4 := quant.WeightScheme{Bits: 4, Symmetric: cfg.Weight.Symmetric, Granularity: quant.PerTensor}
	cfg.Include, cfg.Exclude = []string{"*"}, nil
	cfg.Overrides = append(cfg.Overrides, qat.Override{Include: []string{"b"}, Weight: &w8}, qat.Override{Include: []string{"c"}, Weight: &w4})
	if _, err := qat.Prepare(n, cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Activation.Mode == quant.StaticTensor {
		if err := qat.SetInputScales(n, map[string]float32{"a": 1. / 32, "b": 1. / 32, "c": 1. / 64}); err != nil {
			t.Fatal(err)
		}
	}
	if err := qat.Convert(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Free(n); nn.Close(n) })
	return n
}

func gaussian(r *rand.Rand, n int64, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(std * r.NormFloat64())
	}
	return v
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
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

// Swapped layers, with kernels of both packages in one group, compute what the packed ones did.
func TestSwap(t *testing.T) {
	for _, w := range []quant.WeightScheme{
		quant.DefaultWeightScheme(), {Bits: 4, Granularity: quant.PerGroup, GroupSize: 128}, {Bits: 4, Granularity: quant.PerGroup, GroupSize: 64},
		{Bits: 8, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 32},
	} {
		for _, a := range []quant.ActivationScheme{
			{}, {Bits: 8, Mode: quant.DynamicToken}, {Bits: 4, Mode: quant.DynamicToken}, {Bits: 8, Mode: quant.StaticTensor}, {Bits: 4, Mode: quant.StaticTensor},
		} {
			cfg := qat.DefaultConfig()
			cfg.Weight, cfg.Activation = w, a
			n := packedNet(t, cfg)
			want, dense := groupOutputs(t, n), weights(t, n)
			swapped, left, err := Swap(n, SwapOptions{})
			if err != nil || swapped != 3 || len(left) != 0 {
				t.Fatalf("%d swapped, left %v, error %v", swapped, left, err)
			}
			for i, w := range weights(t, n) {
				if !slices.Equal(w, dense[i]) { // a zero may have either sign
					t.Errorf("weight %d differs", i)
				}
			}
			for i, y := range groupOutputs(t, n) {
				for k := range y {
					if d := math.Abs(float64(y[k] - want[i][k])); !(d <= 1e-5*(1+math.Abs(float64(want[i][k])))) {
						t.Fatalf("%v, %v: output %d[%d] is %v, want %v", w, a, i, k, y[k], want[i][k])
					}
				}
			}
		}
	}
}

func weights(t *testing.T, n net) (all [][]float32) {
	t.Helper()
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

// Each scheme gets the layout that knows it; a scale that pkg/int4 would have to round goes to pkg/int8, and a layer whose
// input scale is off the grid stays, and is named.
func TestLayouts(t *testing.T) {
	cfg := qat.DefaultConfig()
	cfg.Activation = quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}
	n := packedNet(t, cfg)
	set := func(p *nn.Param, v float32) {
		run(t, func(c *nn.Context) error {
			all, err := tensor.Floats(p.T)
			all[0] = v
			p.Set(c.Release(c.FromFloats(all, p.Shape...)))
			return err
		})
	}
	set(n.g[0].P.(*qat.Packed).Scale, 0.3)
	set(n.g[2].P.(*qat.Packed).InputScale, 1e-6)
	swapped, left, err := Swap(n, SwapOptions{})
	if err != nil || swapped != 2 || len(left) != 1 || left[0].Path != "c" || !strings.Contains(left[0].Why.Error(), "activation scale 1e-06 is not on the scale grid") {
		t.Fatalf("%d swapped, left %v, error %v", swapped, left, err)
	}
	for i := range 2 {
		if _, ok := n.g[i].P.(*Linear).W.(*int8.Matrix); !ok {
			t.Errorf("layer %d has a %T, want one of pkg/int8", i, n.g[i].P.(*Linear).W)
		}
	}
	most := float32(0)
	for _, w := range weights(t, n)[0][:32] {
		most = max(most, w, -w)
		if math.Abs(math.Remainder(float64(w), float64(float32(0.3)))) > 1e-6 {
			t.Errorf("weight %v is no multiple of its scale 0.3", w)
		}
	}
	if most < 0.3*4 {
		t.Errorf("the largest weight of the group is %v, want some codes", most)
	}
	m := packedNet(t, qat.DefaultConfig())
	for _, name := range append(int4.Kernels(), int8.Kernels()...) { // of either package, for layers of both
		if _, err := NewLinear("a", mustWeigh(t, m.g[0]), nil, name); err != nil {
			t.Error(err)
		}
		if _, err := NewLinear("b", mustWeigh(t, m.g[1]), nil, name); err != nil {
			t.Error(err)
		}
	}
	if _, ok := mustWeigh(t, m.g[0]).(*int4.Matrix); !ok {
		t.Error("INT4 in groups of 32 is not pkg/int4's")
	}
	if _, _, err := Swap(m, SwapOptions{Kernels: "mmx"}); err == nil || !strings.Contains(err.Error(), `kernels "mmx", want one of`) {
		t.Errorf("error %v, want the names", err)
	}
	if _, ok := m.g[0].P.(*qat.Packed); !ok {
		t.Error("a failed swap changed a slot")
	}
}

func mustWeigh(t *testing.T, s *nn.Slot) Weight {
	t.Helper()
	w, err := weigh(s.P.(*qat.Packed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
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
	if _, _, err := Swap(n, SwapOptions{}); err == nil || !strings.Contains(err.Error(), "no projection is packed") {
		t.Errorf("error %v, want that nothing is left to swap", err)
	}
}

// Several threads may compute with one model, from its first use on.
func TestLinearIsShared(t *testing.T) {
	cfg := qat.DefaultConfig()
	cfg.Activation = quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}
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
