package qat_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

func TestMatch(t *testing.T) {
	const q = "talker.model.layers.10.self_attn.q_proj"
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{q, q, true},
		{"**", q, true},
		{"talker.**", q, true},
		{"talker", q, false},
		{"**.q_proj", q, true},
		{"**.*_proj", q, true},
		{"*.q_proj", q, false}, // a star stays in its segment
		{"talker.model.layers.*.self_attn.*_proj", q, true},
		{"talker.model.layers.1[0-9].**", q, true},
		{"talker.model.layers.?.**", q, false},
		{"**.self_attn.**", q, true},
		{"**.q_proj.**", q, true}, // ** may stand for nothing
		{"**.mlp.**", q, false},
		{"a.**.b.**.c", "a.x.b.y.b.z.c", true},
		{"a.**.b", "a.b.c", false},
	} {
		if got, err := qat.Match(c.pattern, c.name); err != nil || got != c.want {
			t.Errorf("Match(%q, %q) = %v, %v, want %v", c.pattern, c.name, got, err, c.want)
		}
	}
	for _, bad := range []string{"a..b", "a.[", ""} {
		if _, err := qat.Match(bad, "a"); err == nil {
			t.Errorf("pattern %q is no error", bad)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	c := qat.DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	c.Weight.Bits, c.Activation.Bits = 5, 3
	c.Include, c.Exclude = nil, []string{"a..b"}
	c.Init = quant.MinMax
	c.Overrides = []qat.Override{{Include: []string{"["}, Weight: &quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: 7}}, {}}
	err := c.Validate()
	for _, want := range []string{
		"weight bits 5", "activation bits 3", "include is empty", `exclude: qat: pattern "a..b"`, "init min_max",
		`overrides[0].include: qat: pattern "["`, "overrides[0].weight: quant: group_size 7", "overrides[1] wants include",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestPlan(t *testing.T) {
	c := qat.DefaultConfig()
	c.Weight.GroupSize = 64
	c.Exclude = []string{"**.gate_proj", "speaker.**"}
	int8s := quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}
	c.Overrides = []qat.Override{
		{Include: []string{"model.head"}, Weight: &int8s},
		{Include: []string{"**"}, Activation: &quant.ActivationScheme{}},
	}
	p := must(qat.NewPlan(newToy(), c))(t)
	if !slices.Equal(p.Kept, []string{"model.mlp.gate_proj"}) || len(p.Layers) != 3 || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "speaker.**") {
		t.Fatalf("plan %+v", p)
	}
	up, down, head := p.Layers[0], p.Layers[1], p.Layers[2]
	if up.Path != "model.mlp.up_proj" || up.Weight.GroupSize != 48 || up.Note == "" || up.Activation.Mode != quant.ActivationNone {
		t.Errorf("up_proj %+v, want groups of 48 of its width 96, noted", up)
	}
	if down.Weight.GroupSize != 64 || down.Note != "" || down.Params != 96*64 || down.BytesBefore != 2*96*64 || down.BytesAfter != 96*64/2+96*2 {
		t.Errorf("down_proj %+v", down)
	}
	if head.Weight != int8s || head.Activation.Mode != quant.DynamicToken {
		t.Errorf("head %+v, want the first override alone", head)
	}
	if want := 8 * float64(up.BytesAfter+down.BytesAfter+head.BytesAfter) / float64(p.Params()); p.BitsPerWeight() != want {
		t.Errorf("%v bits per weight, want %v", p.BitsPerWeight(), want)
	}
	c.Include, c.Fallback = []string{"model.mlp.*", "talker.**"}, false
	c.Overrides[0].Include[0] = "nothing"
	_, err := qat.NewPlan(newToy(), c)
	for _, want := range []string{
		`include "talker.**" matches no projection`, `overrides[0] ["nothing"] matches no quantized projection`,
		"group_size 64 does not divide in_features 96 of model.mlp.up_proj",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

// Prepare takes the weights over, frees the float form and names what is wrong without changing anything.
func TestPrepare(t *testing.T) {
	dir := teacher(t, nil)
	m := must(load(dir))(t)
	if _, err := qat.Prepare(newToy(), qat.DefaultConfig()); err == nil || !strings.Contains(err.Error(), "model.mlp.gate_proj holds a *nn.Linear, want a loaded float layer") {
		t.Errorf("a model without weights: %v", err)
	}
	float := logits(t, m)
	run(t, func(c *nn.Context) error {
		p := m.head.P.(*nn.Linear).W
		good := p.T
		w := must(tensor.Floats(good))(t)
		w[3*width+5] = float32(math.NaN())
		p.T = c.FromFloats(w, classes, width)
		_, err := qat.Prepare(m, qat.DefaultConfig())
		if err == nil || err.Error() != "qat: model.head: quant: weight [3, 5] is NaN" {
			t.Errorf("NaN: %v", err)
		}
		p.T = good
		return nil
	})
	sameBits(t, "after a failed Prepare", logits(t, m), float)
	c := qat.DefaultConfig()
	c.Weight = quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}
	must(qat.Prepare(m, c))(t)
	y := logits(t, m)
	s := must(quant.CompareValues(float, y))(t)
	if s.SQNR < 30 || s.SQNR == quant.MaxSQNR {
		t.Errorf("INT8 is %v dB from float, want over 30 and a difference", s.SQNR)
	}
	if _, err := qat.Prepare(m, c); err == nil || !strings.Contains(err.Error(), "holds a *qat.Linear") {
		t.Errorf("a second Prepare: %v", err)
	}
	for _, s := range nn.Slots(m) {
		l := s.P.(*qat.Linear)
		if on, err := l.W.T.RequiresGrad(); err != nil || !on {
			t.Errorf("%s does not record its gradient (%v)", s.Path, err)
		}
	}
}

// Projections of one input give the same bits together as alone, and the group is refused where inputs differ.
func TestForwardGroup(t *testing.T) {
	m := must(load(teacher(t, nil)))(t)
	int4s := quant.ActivationScheme{Bits: 4, Mode: quant.DynamicToken}
	c := qat.DefaultConfig()
	c.Include = []string{"model.mlp.gate_proj", "model.mlp.up_proj"}
	must(qat.Prepare(m, c))(t)
	gate, up := m.mlp.GateUp[0].P.(nn.GroupProjection), m.mlp.GateUp[1].P
	other := must(load(teacher(t, nil)))(t)
	c.Overrides = []qat.Override{{Include: []string{"**.up_proj"}, Activation: &int4s}}
	must(qat.Prepare(other, c))(t)
	run(t, func(c *nn.Context) error {
		x := c.Randn(5, width)
		ys := gate.ForwardGroup(c, []nn.Projection{gate, up}, x)
		for i, p := range []nn.Projection{gate, up} {
			a, b := must(tensor.Floats(ys[i]))(t), must(tensor.Floats(p.Forward(c, x)))(t)
			sameBits(t, "together and alone", a, b)
		}
		if ys := gate.ForwardGroup(c, []nn.Projection{gate, other.mlp.GateUp[1].P}, x); ys != nil {
			t.Error("activations of 8 and 4 bits are served as one")
		}
		return nil
	})
}

// Gradients reach masters, scales and the input; clipped weights get none; LSQ's factor scales the scale's.
func TestLinearGradients(t *testing.T) {
	grads := func(lsq bool) (w, s, x []float32) {
		c := qat.DefaultConfig()
		c.Activation = quant.ActivationScheme{}
		c.LSQGradient = lsq
		m := must(load(teacher(t, nil)))(t)
		must(qat.Prepare(m, c))(t)
		l := m.head.P.(*qat.Linear)
		run(t, func(c *nn.Context) error {
			tensor.Seed(3)
			p := must(l.QParams())(t)
			for i := range p.Scale {
				p.Scale[i] = quant.RoundScale(p.Scale[i] / 2)
			}
			if err := qat.SetQParams(m, map[string]quant.QParams{"model.head": p}); err != nil {
				return err
			}
			in := c.Randn(4, width)
			if err := tensor.RequireGrad(in, true); err != nil {
				return err
			}
			if err := tensor.Backward(c.Mean(c.Square(l.Forward(c, in)))); err != nil {
				return err
			}
			read := func(t0 *ts.Tensor) []float32 { return must(tensor.Floats(c.Gradient(t0)))(t) }
			w, s, x = read(l.W.T), read(l.Scale.T), read(in)
			return nil
		})
		return w, s, x
	}
	w, s, x := grads(false)
	for name, g := range map[string][]float32{"scale": s, "input": x} {
		if slices.Contains(g, 0) {
			t.Errorf("%s: some gradients are 0", name)
		}
	}
	var zeros int
	for _, g := range w {
		if g == 0 {
			zeros++
		}
	}
	if zeros == 0 || zeros > len(w)/2 {
		t.Errorf("%d of %d weights have no gradient, want the clipped ones", zeros, len(w))
	}
	_, scaled, _ := grads(true)
	for i := range s {
		if want := float64(s[i]) / math.Sqrt(32*7); math.Abs(float64(scaled[i])-want) > 1e-5*math.Abs(want) {
			t.Fatalf("scale gradient %v, want %v / sqrt(32*7)", scaled[i], s[i])
		}
	}
}

func TestSetParameters(t *testing.T) {
	m := must(load(teacher(t, nil)))(t)
	c := qat.DefaultConfig()
	c.Activation = quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}
	must(qat.Prepare(m, c))(t)
	before := must(m.head.P.(*qat.Linear).QParams())(t)
	bad := quant.QParams{Rows: 1, Groups: 1, Scale: []float32{1}}
	err := qat.SetQParams(m, map[string]quant.QParams{"model.head": bad, "nowhere": bad})
	for _, want := range []string{`"nowhere", which is not a prepared projection`, "model.head: quant: scales [1, 1]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if after := must(m.head.P.(*qat.Linear).QParams())(t); !slices.Equal(after.Scale, before.Scale) {
		t.Error("a refused SetQParams changed the scales")
	}
	before.Scale[3] = 0.5
	if err := qat.SetQParams(m, map[string]quant.QParams{"model.head": before}); err != nil {
		t.Fatal(err)
	}
	if after := must(m.head.P.(*qat.Linear).QParams())(t); !slices.Equal(after.Scale, before.Scale) {
		t.Error("SetQParams did not set the scales")
	}
	err = nn.Run(func(c *nn.Context) error { m.forward(c, c.Randn(1, width)); return nil })
	if err == nil || !strings.Contains(err.Error(), "model.mlp.gate_proj has no input scale: calibrate") {
		t.Errorf("static activations without a scale: %v", err)
	}
	if err := qat.Convert(m); err == nil || !strings.Contains(err.Error(), "model.head: no input scale") {
		t.Errorf("Convert without input scales: %v", err)
	}
	err = qat.SetInputScales(m, map[string]float32{"model.head": -1, "nowhere": 1})
	for _, want := range []string{`"nowhere", which has no static`, "model.head is -1, want a positive", "no input scale for model.mlp.down_proj"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
