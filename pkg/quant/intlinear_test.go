package quant_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
)

// By hand: two groups of a symmetric row, one row of an asymmetric weight.
func TestLinearIntByHand(t *testing.T) {
	xq := make([]int16, 64)
	wq := make([]int16, 64)
	xq[0], xq[1], xq[32] = 100, -3, 127
	wq[0], wq[1], wq[32] = 7, -8, -8
	p := quant.QParams{Rows: 1, Groups: 2, Scale: []float32{0.5, 0.25}}
	y, err := quant.LinearInt(xq, 2, wq, 1, 64, p, quant.DefaultWeightScheme(), []float32{1})
	if want := float32(2*(724*0.5+-1016*0.25) + 1); err != nil || !slices.Equal(y, []float32{want}) {
		t.Errorf("y = %v, %v, want %v", y, err, want)
	}
	p = quant.QParams{Rows: 1, Groups: 1, Scale: []float32{0.5}, ZeroPoint: []int32{5}}
	if y, err = quant.LinearInt([]int16{2, 3}, 1, []int16{15, 0}, 1, 2, p, asym4, nil); err != nil || y[0] != 0.5*(2*10-3*5) {
		t.Errorf("asymmetric y = %v, %v", y, err)
	}
	if _, err = quant.LinearInt([]int16{2}, 1, []int16{15, 0}, 1, 2, p, asym4, nil); err == nil {
		t.Error("a short activation is no error")
	}
}

// The integer layer equals the float composite (fake-quantized input times fake-quantized weight, float64 sums) within
// 1e-5 of the sum of magnitudes.
func TestLinearIntIsTheFloatComposite(t *testing.T) {
	const n, k = 16, 256
	r := rand.New(rand.NewPCG(1, 2))
	for _, sch := range []quant.WeightScheme{
		quant.DefaultWeightScheme(), {Bits: 4, Granularity: quant.PerGroup, GroupSize: 64}, channel4, tensor4, {Bits: 8, Symmetric: true, Granularity: quant.PerChannel},
	} {
		w, x := make([]float32, n*k), make([]float32, k)
		for i := range w {
			w[i] = float32(r.NormFloat64() * 0.05)
		}
		for i := range x {
			x[i] = float32(r.NormFloat64() * 3)
		}
		method := quant.SignedMax
		if !sch.Symmetric {
			method = quant.MinMax
		}
		p, err := quant.InitQParams(w, n, k, sch, method)
		if err != nil {
			t.Fatal(err)
		}
		wq, err := quant.Quantize(w, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		dense, err := quant.Dequantize(wq, n, k, p, sch)
		if err != nil {
			t.Fatal(err)
		}
		xq, sx, err := quant.QuantizeToken(x, quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken})
		if err != nil {
			t.Fatal(err)
		}
		y, err := quant.LinearInt(xq, sx, wq, n, k, p, sch, nil)
		if err != nil {
			t.Fatal(err)
		}
		for row := range n {
			var want, size float64
			for c := range k {
				term := float64(float32(xq[c])*sx) * float64(dense[row*k+c])
				want, size = want+term, size+math.Abs(term)
			}
			if e := math.Abs(float64(y[row]) - want); e > 1e-5*max(math.Abs(want), size/10) {
				t.Errorf("%v row %d: %v, float composite %v (sum of magnitudes %v)", sch, row, y[row], want, size)
			}
		}
	}
}
