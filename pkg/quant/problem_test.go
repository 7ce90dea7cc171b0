package quant_test

import (
	"fmt"
	"math"
	"slices"

	"github.com/qakd/qakd/internal/tensor"
	_ "github.com/qakd/qakd/internal/testkit/fixedseed"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
	"pgregory.net/rapid"
)

// problem is a layer, or several of one input, with a gradient to send back.
type problem struct {
	x, g       []float32 // [m, k] and [m, n] of each layer
	m, k       int64
	bf16       bool
	in         quant.ActivationScheme
	inScale    float32
	factor     float64
	layers     []problemLayer
	products   quant.Products
	threeDims  bool
	inputFixed bool // the input needs no gradient
	bf16Master bool // weights are trained in bfloat16
}

type problemLayer struct {
	w, bias []float32
	n       int64
	p       quant.QParams
	pre     []float32
	sch     quant.WeightScheme
}

func drawProblem(t *rapid.T) problem {
	w, n, k, p, sch := draw(t)
	pr := problem{k: k, m: rapid.Int64Range(1, 40).Draw(t, "m"), factor: rapid.SampledFrom([]float64{1, 0.125, 0.0417}).Draw(t, "factor")}
	pr.in.Mode = rapid.SampledFrom([]quant.ActivationMode{quant.ActivationNone, quant.DynamicToken, quant.StaticTensor}).Draw(t, "mode")
	if pr.in.Mode != quant.ActivationNone {
		pr.in.Bits = rapid.SampledFrom([]int{4, 8}).Draw(t, "activation bits")
	}
	pr.inScale = quant.RoundScale(rapid.SampledFrom([]float32{0.01, 0.1}).Draw(t, "input scale"))
	pr.bf16, pr.threeDims = rapid.Bool().Draw(t, "bf16"), rapid.Bool().Draw(t, "three dimensions")
	pr.inputFixed = rapid.IntRange(0, 4).Draw(t, "fixed") == 0
	pr.bf16Master = rapid.IntRange(0, 3).Draw(t, "bf16 master") == 0
	pr.x = gaussian(int(pr.m*k), rapid.Uint64().Draw(t, "seed"))
	pr.layers = append(pr.layers, problemLayer{w: w, n: n, p: p, sch: sch})
	for range rapid.IntRange(0, 2).Draw(t, "peers") {
		n := rapid.Int64Range(1, 40).Draw(t, "rows")
		l := problemLayer{w: gaussian(int(n*k), uint64(n)), n: n, sch: sch}
		method := quant.MinMax
		if sch.Symmetric {
			method = quant.SignedMax
		}
		var err error
		if l.p, err = quant.InitQParams(l.w, n, k, sch, method); err != nil {
			t.Fatal(err)
		}
		pr.layers = append(pr.layers, l)
	}
	var outs int64
	for i := range pr.layers {
		l := &pr.layers[i]
		if rapid.Bool().Draw(t, "bias") {
			l.bias = gaussian(int(l.n), 3)
		}
		if rapid.Bool().Draw(t, "dual") {
			l.pre = slices.Clone(l.p.Scale)
			for j := range l.pre {
				l.pre[j] = quant.RoundScale(l.pre[j] * rapid.SampledFrom([]float32{0.7, 1, 1.3}).Draw(t, "pre"))
			}
		}
		outs += l.n
	}
	pr.g = gaussian(int(pr.m*outs), 5)
	return pr
}

// results are the outputs of the layers and the gradients of everything, in the order in which they were made. Rounding
// is measured by the largest value, and in sums over many weights by the size of what they add up.
type results struct {
	names  []string
	values [][]float32
	sizes  []float64
}

func (r *results) add(name string, v []float32, size float64) {
	r.names, r.values, r.sizes = append(r.names, name), append(r.values, v), append(r.sizes, max(size, largest(v)))
}

func largest(v []float32) float64 {
	top := 0.0
	for _, x := range v {
		top = max(top, math.Abs(float64(x)))
	}
	return top
}

// solve runs the problem forward and backward.
func (pr problem) solve(t interface{ Fatal(...any) }, composite bool) (r results) {
	quant.SetComposite(composite)
	defer quant.SetComposite(false)
	run(t, func(s *tensor.Scope) error {
		var leaves []*ts.Tensor
		var shares []int64 // how many numbers share one of the leaf
		share, weight := int64(0), false
		leaf := func(v []float32, shape ...int64) *ts.Tensor {
			x := s.FromFloats(v, shape...)
			if pr.bf16Master && weight {
				x = s.To(x, gotch.BFloat16)
			}
			leaves, shares = append(leaves, x), append(shares, share)
			s.Check("require_grad", tensor.RequireGrad(x, true))
			return x
		}
		x := s.FromFloats(pr.x, pr.m, pr.k)
		if !pr.inputFixed {
			x = leaf(pr.x, pr.m, pr.k)
		}
		in := x
		if pr.bf16 {
			in = s.To(x, gotch.BFloat16)
		}
		if pr.threeDims {
			in = s.Reshape(in, 1, pr.m, pr.k)
		}
		q := quant.Input{Scheme: pr.in, Factor: pr.factor}
		if pr.in.Mode == quant.StaticTensor {
			share = pr.m * pr.k
			q.Scale = leaf([]float32{pr.inScale}, 1)
		}
		var masters []quant.Master
		for _, l := range pr.layers {
			share, weight = 0, true
			m := quant.Master{W: leaf(l.w, l.n, pr.k), Scheme: l.sch, Factor: pr.factor}
			weight = false
			share = l.n * pr.k / (l.p.Rows * l.p.Groups)
			m.Scale = leaf(l.p.Scale, l.p.Rows, l.p.Groups)
			if l.pre != nil {
				m.Pre = leaf(l.pre, l.p.Rows, l.p.Groups)
			}
			if l.p.ZeroPoint != nil {
				_, zp := params(s, l.p)
				m.Zero = leaf(floats(t, zp), l.p.Rows, l.p.Groups)
			}
			if l.bias != nil {
				share = 0
				m.Bias = leaf(l.bias, l.n)
			}
			masters = append(masters, m)
		}
		ys := quant.Linear(s, in, q, pr.products, masters...)
		var loss *ts.Tensor
		at := int64(0)
		for i, y := range ys {
			if y.DType() != in.DType() {
				return fmt.Errorf("output in %v of an input in %v", y.DType(), in.DType())
			}
			n := pr.layers[i].n
			g := s.FromFloats(pr.g[at*pr.m:(at+n)*pr.m], pr.m, n)
			at += n
			y = s.Reshape(s.To(y, gotch.Float), pr.m, n)
			r.add(fmt.Sprintf("output %d", i), floats(t, y), 0)
			part := s.Sum(s.Mul(y, g))
			if loss == nil {
				loss = part
			} else {
				loss = s.Add(loss, part)
			}
		}
		if err := tensor.Backward(loss); err != nil {
			return err
		}
		codes := float64(pr.layers[0].sch.QMax() - pr.layers[0].sch.QMin())
		if pr.in.Mode == quant.StaticTensor {
			codes += float64(pr.in.QMax())
		}
		for i, l := range leaves {
			g := s.Gradient(l)
			if g == nil {
				return fmt.Errorf("leaf %d %v has no gradient", i, s.Shape(l))
			}
			r.add(fmt.Sprintf("gradient of leaf %d %v", i, s.Shape(l)), floats(t, s.To(g, gotch.Float)), pr.factor*codes*math.Sqrt(float64(shares[i])))
		}
		return nil
	})
	return r
}

// apart is the first pair that differs by more than tol of its tensor's size.
func apart(a, b results, tol float64) error {
	for i, name := range a.names {
		for j, v := range a.values[i] {
			if d := math.Abs(float64(v - b.values[i][j])); !(d <= tol*b.sizes[i]) {
				return fmt.Errorf("%s [%d]: %v and %v, size %v", name, j, v, b.values[i][j], b.sizes[i])
			}
		}
	}
	return nil
}
