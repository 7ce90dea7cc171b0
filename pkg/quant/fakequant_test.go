package quant_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// run fails the test on an operation's error.
func run(t interface{ Fatal(...any) }, f func(s *tensor.Scope) error) {
	if err := tensor.Run(f); err != nil {
		t.Fatal(err)
	}
}

// params are the masters of p as tensors.
func params(s *tensor.Scope, p quant.QParams) (scale, zp *ts.Tensor) {
	scale = s.FromFloats(p.Scale, p.Rows, p.Groups)
	if p.ZeroPoint != nil {
		z := make([]float32, len(p.ZeroPoint))
		for i, v := range p.ZeroPoint {
			z[i] = float32(v)
		}
		zp = s.FromFloats(z, p.Rows, p.Groups)
	}
	return scale, zp
}

func floats(t interface{ Fatal(...any) }, x *ts.Tensor) []float32 {
	v, err := tensor.Floats(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sameBits(a, b []float32) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d and %d values", len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return fmt.Errorf("value %d: %v (%#x) and %v (%#x)", i, a[i], math.Float32bits(a[i]), b[i], math.Float32bits(b[i]))
		}
	}
	return nil
}

// The tensor form equals the packed weight bit for bit, signs of zero included, with and without a graph.
func TestFakeQuantizeWeightIsThePackedWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, n, k, p, sch := draw(t)
		packed, err := quant.Pack(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		want, err := packed.Dequantize()
		if err != nil {
			t.Fatal(err)
		}
		run(t, func(s *tensor.Scope) error {
			wt := s.FromFloats(w, n, k)
			scale, zp := params(s, p)
			if rapid.Bool().Draw(t, "graph") {
				if err := tensor.RequireGrad(wt, true); err != nil {
					return err
				}
			}
			return sameBits(floats(t, quant.FakeQuantizeWeight(s, wt, scale, zp, sch)), want)
		})
	})
}

// RoundScales is RoundScale, ties included.
func TestRoundScales(t *testing.T) {
	x := []float32{0, -1, 1e-20, 1e20, float32(math.Inf(1)), float32(math.NaN())}
	for i, g := range grid() {
		x = append(x, g)
		if i > 0 {
			mid := (g + grid()[i-1]) / 2
			x = append(x, mid, math.Nextafter32(mid, 0), math.Nextafter32(mid, 1e6))
		}
		if i == 600 {
			break
		}
	}
	want := make([]float32, len(x))
	for i, v := range x {
		want[i] = quant.RoundScale(v)
	}
	run(t, func(s *tensor.Scope) error {
		got := floats(t, quant.RoundScales(s, s.FromFloats(x, int64(len(x)))))
		if v := got[5]; v == v {
			return fmt.Errorf("NaN became %v", v)
		}
		return sameBits(slices.Delete(got, 5, 6), slices.Delete(want, 5, 6))
	})
}

func TestFakeQuantizeActivationIsTheReference(t *testing.T) {
	x := gaussian(3*5*16, 9)
	for i := range x[:16] {
		x[i] = 0 // a token of zeros
	}
	x[40] = 1e-40 // a subnormal
	for _, a := range []quant.ActivationScheme{
		{Bits: 8, Mode: quant.DynamicToken}, {Bits: 4, Mode: quant.DynamicToken},
		{Bits: 8, Mode: quant.StaticTensor}, {Bits: 4, Mode: quant.StaticTensor},
	} {
		want := make([]float32, len(x))
		for i := 0; i < len(x); i += 16 {
			token, scale := x[i:i+16], float32(0.0625)
			q, err := quant.QuantizeStatic(token, scale, a)
			if a.Mode == quant.DynamicToken {
				q, scale, err = quant.QuantizeToken(token, a)
			}
			if err != nil {
				t.Fatal(err)
			}
			for j, c := range q {
				want[i+j] = float32(c) * scale
			}
		}
		run(t, func(s *tensor.Scope) error {
			var scale *ts.Tensor
			if a.Mode == quant.StaticTensor {
				scale = s.FromFloats([]float32{0.0625}, 1)
			}
			got := floats(t, quant.FakeQuantizeActivation(s, s.FromFloats(x, 3, 5, 16), scale, a))
			for i := range got {
				if got[i] != want[i] {
					return fmt.Errorf("%v: value %d is %v, want %v", a, i, got[i], want[i])
				}
			}
			y := quant.FakeQuantizeActivation(s, s.To(s.FromFloats(x, 3, 5, 16), gotch.BFloat16), scale, a)
			if y.DType() != gotch.BFloat16 {
				return fmt.Errorf("bf16 input gives %v", y.DType())
			}
			return nil
		})
	}
}

func TestFakeQuantizeErrors(t *testing.T) {
	for name, f := range map[string]func(s *tensor.Scope){
		"a width that the group does not divide": func(s *tensor.Scope) {
			quant.FakeQuantizeWeight(s, s.Ones(gotch.Float, 2, 33), s.Ones(gotch.Float, 2, 1), nil, quant.DefaultWeightScheme())
		},
		"scales of another shape": func(s *tensor.Scope) {
			quant.FakeQuantizeWeight(s, s.Ones(gotch.Float, 2, 64), s.Ones(gotch.Float, 2, 1), nil, quant.DefaultWeightScheme())
		},
		"no zero points": func(s *tensor.Scope) {
			quant.FakeQuantizeWeight(s, s.Ones(gotch.Float, 2, 3), s.Ones(gotch.Float, 2, 1), nil, asym4)
		},
		"a vector": func(s *tensor.Scope) {
			quant.FakeQuantizeWeight(s, s.Ones(gotch.Float, 2), s.Ones(gotch.Float, 2, 1), nil, channel4)
		},
		"static without a scale": func(s *tensor.Scope) {
			quant.FakeQuantizeActivation(s, s.Ones(gotch.Float, 2), nil, quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor})
		},
	} {
		if err := tensor.Run(func(s *tensor.Scope) error { f(s); return nil }); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}
