package quant_test

import (
	"math"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
	"pgregory.net/rapid"
)

// kernelSets are those that some CPU has; a test skips what this one cannot run.
var kernelSets = []string{"avx512vnni", "avxvnni", "avx512", "avx2", "portable"}

// The fused layer against tensor operations: values, and gradients of input, weights, scales, zero points and biases.
func TestLinearIsComposite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pr := drawProblem(t)
		tol := 1e-5 // float32 sums of thousands of terms of either sign, in another order
		if pr.bf16 || pr.bf16Master {
			tol = 1e-2 // sums in another order are rounded to bfloat16
		}
		if err := apart(pr.solve(t, false), pr.solve(t, true), tol); err != nil {
			t.Fatalf("%v %v bf16 %v: %v", pr.layers[0].sch, pr.in, pr.bf16, err)
		}
	})
}

// Every set of kernels gives the same bits, integer products included.
func TestKernelsAgree(t *testing.T) {
	defer tensor.SetQuantKernels("")
	rapid.Check(t, func(t *rapid.T) {
		pr := drawProblem(t)
		pr.products.Integer = pr.in.Mode != quant.ActivationNone && rapid.Bool().Draw(t, "integer")
		var want results
		for _, name := range kernelSets {
			if !tensor.SetQuantKernels(name) {
				continue
			}
			got := pr.solve(t, false)
			if want.names == nil {
				want = got
			}
			for i, what := range got.names {
				if err := sameBits(got.values[i], want.values[i]); err != nil {
					t.Fatalf("%s: %s: %v", name, what, err)
				}
			}
		}
	})
	if tensor.SetQuantKernels("none such") {
		t.Error("unknown kernels were taken")
	}
}

// The integer forward pass is LinearInt, bit for bit.
func TestIntegerForwardIsTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pr := drawProblem(t)
		pr.bf16, pr.bf16Master, pr.products.Integer = false, false, true
		if pr.in.Mode == quant.ActivationNone {
			pr.in = quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}
		}
		got := pr.solve(t, false)
		for i, l := range pr.layers {
			pre := l.p
			if l.pre != nil {
				pre.Scale = l.pre
			}
			wq, err := quant.Quantize(l.w, l.n, pr.k, pre, l.sch)
			if err != nil {
				t.Fatal(err)
			}
			for m := range pr.m {
				token, sx := pr.x[m*pr.k:(m+1)*pr.k], pr.inScale
				xq, err := quant.QuantizeStatic(token, sx, pr.in)
				if pr.in.Mode == quant.DynamicToken {
					xq, sx, err = quant.QuantizeToken(token, pr.in)
				}
				if err != nil {
					t.Fatal(err)
				}
				want, err := quant.LinearInt(xq, sx, wq, l.n, pr.k, l.p, l.sch, l.bias)
				if err != nil {
					t.Fatal(err)
				}
				if err := sameBits(got.values[i][m*l.n:(m+1)*l.n], want); err != nil {
					t.Fatalf("%v %v token %d of layer %d: %v", l.sch, pr.in, m, i, err)
				}
			}
		}
	})
}

// Groups that four does not divide, rows that a panel does not divide, groups of zeros, saturated ones and subnormals.
func TestIntegerForwardOfOddShapes(t *testing.T) {
	for _, tt := range []struct {
		n, k int64
		sch  quant.WeightScheme
	}{
		{33, 66, quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 33}},
		{1, 72, quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: 36}},
		{70, 5, channel4}, {31, 7, tensor4}, {64, 256, quant.WeightScheme{Bits: 8, Granularity: quant.PerGroup, GroupSize: 128}},
	} {
		w := gaussian(int(tt.n*tt.k), 1)
		for i := range min(tt.k, 33) {
			w[i] = 0
		}
		for i := max(0, len(w)-30); i < len(w); i++ {
			w[i] = 1e9 * float32(1-2*(i%2))
		}
		w[len(w)/2] = 1e-42
		p := quant.QParams{}
		p.Rows, p.Groups, _ = tt.sch.ParamShape(tt.n, tt.k)
		for range p.Rows * p.Groups {
			p.Scale = append(p.Scale, 0.25)
			if !tt.sch.Symmetric {
				p.ZeroPoint = append(p.ZeroPoint, 6)
			}
		}
		pr := problem{m: 13, k: tt.k, x: gaussian(int(13*tt.k), 2), g: gaussian(int(13*tt.n), 3), factor: 1,
			in: quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}, layers: []problemLayer{{w: w, n: tt.n, p: p, sch: tt.sch}}}
		for i := range tt.k {
			pr.x[i] = 0 // a token of zeros
		}
		pr.x[len(pr.x)-1] = 1e-40
		float := pr.solve(t, false)
		pr.products.Integer = true
		if err := apart(pr.solve(t, false), float, 1e-5); err != nil {
			t.Errorf("%v [%d, %d]: %v", tt.sch, tt.n, tt.k, err)
		}
		composite := pr.solve(t, true)
		if err := apart(float, composite, 1e-6); err != nil {
			t.Errorf("%v [%d, %d]: %v", tt.sch, tt.n, tt.k, err)
		}
	}
}

// NaN in a token, a weight or a scale makes NaN of what depends on it and of nothing else, in either product.
func TestLinearShowsNaN(t *testing.T) {
	const m, n, k = 5, 40, 64
	nan := float32(math.NaN())
	for _, products := range []quant.Products{{}, {Integer: true}} {
		for _, in := range []quant.ActivationScheme{{Bits: 8, Mode: quant.DynamicToken}, {Bits: 8, Mode: quant.StaticTensor}} {
			w := gaussian(n*k, 1)
			p, err := quant.InitQParams(w, n, k, quant.DefaultWeightScheme(), quant.SignedMax)
			if err != nil {
				t.Fatal(err)
			}
			pr := problem{m: m, k: k, x: gaussian(m*k, 2), g: gaussian(m*n, 3), in: in, inScale: 0.0625, factor: 1, products: products,
				layers: []problemLayer{{w: w, n: n, p: p, sch: quant.DefaultWeightScheme()}}}
			pr.x[2*k+5], w[7*k+40], p.Scale[2*9] = nan, nan, nan
			for i, v := range pr.solve(t, false).values[0] {
				token, row := i/n, i%n
				if want := token == 2 || row == 7 || row == 9; (v != v) != want {
					t.Fatalf("%+v %v: output of token %d, row %d is %v, want NaN: %v", products, in, token, row, v, want)
				}
			}
		}
	}
}

// The passes and the integer products have the same bits with any number of threads.
func TestThreadsDoNotMatter(t *testing.T) {
	const m, n, k = 70, 96, 256
	w := gaussian(n*k, 1)
	for _, sch := range []quant.WeightScheme{quant.DefaultWeightScheme(), tensor4} {
		p, err := quant.InitQParams(w, n, k, sch, quant.AbsMax)
		if err != nil {
			t.Fatal(err)
		}
		pr := problem{m: m, k: k, x: gaussian(m*k, 2), g: gaussian(m*n, 3), in: quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}, factor: 1,
			products: quant.Products{Integer: true}, layers: []problemLayer{{w: w, n: n, p: p, sch: sch}}}
		one := pr.solve(t, false)
		if err := tensor.SetThreads(3); err != nil {
			t.Fatal(err)
		}
		three := pr.solve(t, false)
		if err := tensor.SetThreads(1); err != nil {
			t.Fatal(err)
		}
		if err := sameBits(three.values[0], one.values[0]); err != nil {
			t.Errorf("%v: output: %v", sch, err)
		}
		if err := apart(three, one, 1e-6); err != nil { // libtorch's products have sums of their own
			t.Errorf("%v: %v", sch, err)
		}
	}
}

// The backward products in bfloat16 are those in float32 within its 8 bits.
func TestBF16Backward(t *testing.T) {
	const m, n, k = 64, 64, 64
	w := gaussian(n*k, 1)
	p, err := quant.InitQParams(w, n, k, quant.DefaultWeightScheme(), quant.AbsMax)
	if err != nil {
		t.Fatal(err)
	}
	pr := problem{m: m, k: k, x: gaussian(m*k, 2), g: gaussian(m*n, 3), in: quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}, factor: 1,
		layers: []problemLayer{{w: w, n: n, p: p, sch: quant.DefaultWeightScheme()}}}
	exact := pr.solve(t, false)
	pr.products.BF16Backward = true
	rounded := pr.solve(t, false)
	if err := sameBits(rounded.values[0], exact.values[0]); err != nil {
		t.Errorf("the forward pass differs: %v", err)
	}
	if err := apart(rounded, exact, 1e-2); err != nil {
		t.Error(err)
	}
	if apart(rounded, exact, 1e-5) == nil {
		t.Error("nothing was rounded")
	}
}
