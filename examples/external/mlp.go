package main

import (
	"fmt"
	"math"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/nn"
	"github.com/sugarme/gotch/ts"
)

// mlp is an ordinary gotch network: layers with a ReLU between them. It does not know what kind of layer it holds.
type mlp []ts.Module

// newMLP makes the layers from gotch's own nn.Linear; layer i maps widths[i] to widths[i+1].
func newMLP(vs *nn.VarStore, widths ...int64) (mlp, []*nn.Linear) {
	var net mlp
	var linears []*nn.Linear
	for i := range widths[1:] {
		cfg := nn.DefaultLinearConfig()
		cfg.WsInit = nn.NewRandnInit(0, math.Sqrt(2/float64(widths[i]))) // gotch's default is a plain N(0, 1)
		l := nn.NewLinear(vs.Root().Sub(name(i)), widths[i], widths[i+1], cfg)
		net, linears = append(net, l), append(linears, l)
	}
	return net, linears
}

func name(i int) string { return fmt.Sprintf("layer%d", i) }

// Forward maps x [n, in] to [n, out]. Every temporary is dropped: the patched gotch leaves that to its user.
func (m mlp) Forward(x *ts.Tensor) *ts.Tensor {
	h := x
	for i, l := range m {
		y := l.Forward(h)
		if i > 0 {
			h.MustDrop()
		}
		if h = y; i < len(m)-1 {
			h = y.MustRelu(true)
		}
	}
	return h
}

// loss is the mean squared error of the network on (x, y).
func (m mlp) loss(x, y *ts.Tensor) *ts.Tensor {
	out := m.Forward(x)
	return out.MustMseLoss(y, 1, true)
}

// train runs full-batch AdamW over params and returns the last loss.
func (m mlp) train(params []*ts.Tensor, x, y *ts.Tensor, steps int, rate float64) (float64, error) {
	opt, err := ts.AdamW(rate, 0.9, 0.999, 0)
	if err != nil {
		return 0, err
	}
	defer opt.Drop()
	if err := opt.AddParameters(params); err != nil {
		return 0, err
	}
	last := math.NaN()
	for step := range steps {
		// The learning rate falls to zero along half a cosine.
		if err := opt.SetLearningRate(rate * (1 + math.Cos(math.Pi*float64(step)/float64(steps))) / 2); err != nil {
			return 0, err
		}
		if err := opt.ZeroGrad(); err != nil {
			return 0, err
		}
		loss := m.loss(x, y)
		err := loss.Backward()
		last = loss.MustFloat64Value(nil)
		loss.MustDrop()
		if err != nil {
			return 0, err
		}
		if err := opt.Step(); err != nil {
			return 0, err
		}
	}
	return last, nil
}

// evaluate is the loss as a number.
func (m mlp) evaluate(x, y *ts.Tensor) float64 {
	l := m.loss(x, y)
	defer l.MustDrop()
	return l.MustFloat64Value(nil)
}

// tensor makes [n, len(rows[0])] of rows.
func tensor(rows [][]float32) (*ts.Tensor, error) {
	var flat []float32
	for _, r := range rows {
		flat = append(flat, r...)
	}
	t, err := ts.OfSlice(flat, ts.WithDType(gotch.Float))
	if err != nil {
		return nil, err
	}
	return t.View([]int64{int64(len(rows)), int64(len(rows[0]))}, true)
}
