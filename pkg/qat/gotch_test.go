package qat_test

import (
	"math"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
	gnn "github.com/sugarme/gotch/nn"
	"github.com/sugarme/gotch/ts"
)

var (
	_ ts.Module  = qat.Module{}
	_ ts.ModuleT = qat.Module{}
)

// gotchLinear holds its thread: gotch switches recording off and on around its draws, on whatever thread it is on each time.
func gotchLinear(vs *gnn.VarStore, name string, in, out int64, bias bool) *gnn.Linear {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return gnn.NewLinear(vs.Root().Sub(name), in, out, &gnn.LinearConfig{
		WsInit: gnn.NewRandnInit(0, 0.2), BsInit: gnn.NewConstInit(0), Bias: bias,
	})
}

// A gotch MLP made quantization-aware learns a task with gotch's own optimizer, and survives the disk bit for bit.
func TestGotchModel(t *testing.T) {
	tensor.Seed(11)
	vs := gnn.NewVarStore(gotch.CPU)
	l1, l2 := gotchLinear(vs, "l1", 8, 32, true), gotchLinear(vs, "l2", 32, 1, false)
	c := qat.DefaultConfig()
	q1 := must(qat.FromFloat("l1", l1, c))(t)
	q2 := must(qat.FromFloat("l2", l2, c))(t)
	if q1.Plan().Weight.Granularity != quant.PerChannel {
		t.Errorf("a width of 8 takes %v, want per channel", q1.Plan().Weight)
	}
	layers := qat.NewLayers(q1, q2)
	params := must(qat.Trainable(layers))(t)
	if len(params) != 5 { // 2 weights, 2 scales, 1 bias
		t.Fatalf("%d trainable tensors, want 5", len(params))
	}
	opt := must(ts.AdamW(0.01, 0.9, 0.999, 0))(t)
	if err := opt.AddParameters(params); err != nil {
		t.Fatal(err)
	}
	forward := func(s *tensor.Scope, x *ts.Tensor) *ts.Tensor {
		var h ts.Module = must(layers.Layer("l1"))(t)
		var y ts.Module = must(layers.Layer("l2"))(t)
		return s.Own(y.Forward(s.Relu(s.Own(h.Forward(x)))))
	}
	var first, last float64
	for step := range 150 {
		if err := tensor.Run(func(s *tensor.Scope) error {
			tensor.Seed(int64(step))
			x := s.Randn(64, 8)
			loss := s.Mean(s.Square(s.Sub(forward(s, x), s.SumDim(s.Abs(x), true, 1))))
			last = must(tensor.Scalar(loss))(t)
			if step == 0 {
				first = last
			}
			if err := opt.ZeroGrad(); err != nil {
				return err
			}
			if err := tensor.Backward(loss); err != nil {
				return err
			}
			return opt.Step()
		}); err != nil {
			t.Fatal(err)
		}
	}
	if last > first/10 {
		t.Errorf("loss %v after %v: it does not learn", last, first)
	}
	answer := func() (y []float32) {
		if err := tensor.Run(func(s *tensor.Scope) (err error) {
			tensor.Seed(5)
			x := s.Randn(4, 8)
			tensor.NoGrad(func() { y, err = tensor.Floats(forward(s, x)) })
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return y
	}
	want := answer()
	if err := qat.Convert(layers); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "converted", answer(), want)
	dir := filepath.Join(t.TempDir(), "mlp")
	must(qat.SaveLayers(dir, layers))(t)
	layers = must(qat.LoadLayers(dir))(t)
	sameBits(t, "reloaded", answer(), want)
}

// The copy holds gotch's transposed weight the right way round, and is a copy.
func TestFromFloat(t *testing.T) {
	tensor.Seed(2)
	vs := gnn.NewVarStore(gotch.CPU)
	g := gotchLinear(vs, "l", 64, 6, true)
	c := qat.DefaultConfig()
	c.Weight = quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}
	c.Activation = quant.ActivationScheme{}
	q := must(qat.FromFloat("l", g, c))(t)
	own := must(qat.FromFloat("own", must(load(teacher(t, nil)))(t).head.P.(*nn.Linear), c))(t)
	if own.Plan().Out != classes || own.B == nil {
		t.Errorf("own layer %+v, bias %v", own.Plan(), own.B)
	}
	run(t, func(cx *nn.Context) error {
		x := cx.Randn(3, 64)
		a, b := must(tensor.Floats(cx.Own(g.Forward(x))))(t), must(tensor.Floats(q.Forward(cx, x)))(t)
		for i := range a {
			if math.Abs(float64(a[i]-b[i])) > 0.05 {
				t.Errorf("output %d: gotch %v, INT8 %v", i, a[i], b[i])
			}
		}
		return nil
	})
	for _, x := range []*ts.Tensor{nil, ts.None, must(ts.Ones([]int64{2, 63}, gotch.Float, gotch.CPU))(t)} {
		if y, err := qat.Gotch(q).Apply(x); err == nil {
			t.Errorf("input %v gives %v", x, y)
		}
	}
	if _, err := qat.FromFloat("empty", &nn.Linear{W: nn.NewParam("w", nn.Normal, 2, 2)}, c); err == nil {
		t.Error("a layer without weight is no error")
	}
	c.Fallback, c.Weight = false, quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 128}
	if _, err := qat.FromFloat("l", g, c); err == nil || err.Error() != "quant: group_size 128 does not divide in_features 64 of l" {
		t.Errorf("group size: %v", err)
	}
}
