package optim_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// param holds v in dtype.
func param(t *testing.T, name string, dtype gotch.DType, v []float32, shape ...int64) *nn.Param {
	t.Helper()
	p := nn.NewParam(name, nn.Normal, shape...)
	must(t, tensor.Run(func(s *tensor.Scope) error {
		p.Set(s.Release(s.Clone(s.To(s.FromFloats(v, shape...), dtype))))
		return nil
	}))
	t.Cleanup(func() { p.Set(nil) })
	return p
}

func setGrad(t *testing.T, p *nn.Param, g []float32) {
	t.Helper()
	must(t, tensor.Run(func(s *tensor.Scope) error {
		return tensor.SetGradient(p.T, s.To(s.FromFloats(g, p.Shape...), p.T.DType()))
	}))
}

func values(t *testing.T, p *nn.Param) []float32 {
	t.Helper()
	v, err := tensor.Floats(p.T)
	must(t, err)
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func draw(r *rand.Rand, n int, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * std)
	}
	return v
}

func newAdamW(t *testing.T, cfg optim.Config, groups ...optim.Group) *optim.AdamW {
	t.Helper()
	o, err := optim.New(groups, cfg)
	must(t, err)
	t.Cleanup(o.Close)
	return o
}

// naive is the formula of the package comment, one element at a time. The conversions keep compilers from fusing.
type naive struct{ w, m, v []float32 }

func (n *naive) step(g []float32, cfg optim.Config, lr, wd, clip float64, t int) {
	f := func(x float64) float32 { return float32(x) }
	for i := range n.w {
		d := float32(g[i] * f(clip))
		n.m[i] = n.m[i] + float32(float32(d-n.m[i])*f(1-cfg.Beta1))
		n.v[i] = float32(n.v[i]*f(cfg.Beta2)) + float32(float32(d*d)*f(1-cfg.Beta2))
		root := float32(float32(math.Sqrt(float64(n.v[i])))/f(math.Sqrt(1-math.Pow(cfg.Beta2, float64(t))))) + f(cfg.Eps)
		change := float32(float32(n.m[i]*f(lr/(1-math.Pow(cfg.Beta1, float64(t))))) / root)
		n.w[i] = float32(n.w[i]*f(1-lr*wd)) - change
	}
}

// The fused pass equals the naive loop to the bit, on sizes below, at and above the vector width and the parallel grain.
func TestStepEqualsNaiveLoop(t *testing.T) {
	cfg := optim.DefaultConfig()
	cfg.ClipNorm = 0.5
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 7, 64, 70001} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := draw(r, n, 1)
			p := param(t, "w", gotch.Float, w, int64(n))
			ref := naive{slices.Clone(w), make([]float32, n), make([]float32, n)}
			o := newAdamW(t, cfg, optim.Group{Name: "g", Params: []*nn.Param{p}, LR: 0.01, WeightDecay: 0.1})
			for k := 1; k <= 5; k++ {
				g := draw(r, n, math.Pow(10, float64(k-4)))
				setGrad(t, p, g)
				sum := 0.0
				for _, x := range g {
					sum += float64(x) * float64(x)
				}
				factor := 1 / float64(k)
				norm, err := o.Step(factor)
				must(t, err)
				if want := math.Sqrt(sum); math.Abs(norm-want) > 1e-12*want {
					t.Fatalf("step %d: norm %v, want %v", k, norm, want)
				}
				ref.step(g, cfg, 0.01*factor, 0.1, min(1, cfg.ClipNorm/(norm+1e-6)), k)
				if got := values(t, p); !slices.Equal(got, ref.w) {
					i := 0
					for got[i] == ref.w[i] {
						i++
					}
					t.Fatalf("step %d: element %d is %v, want %v", k, i, got[i], ref.w[i])
				}
			}
		})
	}
}

// bf16 weights move by less than their own spacing because the float32 master carries the rest.
func TestMasterWeights(t *testing.T) {
	cfg := optim.DefaultConfig()
	cfg.ClipNorm = 0
	p := param(t, "w", gotch.BFloat16, []float32{1, -1}, 2)
	o := newAdamW(t, cfg, optim.Group{Name: "g", Params: []*nn.Param{p}, LR: 1e-3})
	for range 10 { // 1e-3 a step; the spacing of bf16 below 1 is 2^-8
		setGrad(t, p, []float32{1, -1})
		_, err := o.Step(1)
		must(t, err)
	}
	if got, want := values(t, p), []float32{0.98828125, -0.98828125}; !slices.Equal(got, want) { // 0.99 in bf16
		t.Errorf("weights %v after 10 steps, want %v", got, want)
	}
	if d := p.T.DType(); d != gotch.BFloat16 {
		t.Errorf("dtype %v, want BFloat16", d)
	}
}

func TestParameterWithoutGradientIsLeftAlone(t *testing.T) {
	a, b := param(t, "a", gotch.Float, []float32{1}, 1), param(t, "b", gotch.Float, []float32{1}, 1)
	o := newAdamW(t, optim.DefaultConfig(), optim.Group{Name: "g", Params: []*nn.Param{a, b}, LR: 0.1, WeightDecay: 0.5})
	setGrad(t, a, []float32{2})
	_, err := o.Step(1)
	must(t, err)
	if got := values(t, b)[0]; got != 1 {
		t.Errorf("b is %v, want 1: torch skips parameters without gradient", got)
	}
	if got := values(t, a)[0]; got == 1 {
		t.Error("a did not move")
	}
	must(t, tensor.Run(func(s *tensor.Scope) error {
		if s.Gradient(a.T) != nil {
			t.Error("the gradient of a is still there after the step")
		}
		return nil
	}))
}

func TestNonFiniteGradientNamesTheParameter(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		a, b := param(t, "talker.a", gotch.Float, []float32{1, 2}, 2), param(t, "talker.b", gotch.Float, []float32{3, 4}, 2)
		o := newAdamW(t, optim.DefaultConfig(), optim.Group{Name: "g", Params: []*nn.Param{a, b}, LR: 0.1})
		setGrad(t, a, []float32{1, 1})
		setGrad(t, b, []float32{1, float32(bad)})
		_, err := o.Step(1)
		var e *optim.NonFiniteError
		if !errors.As(err, &e) || e.Param != "talker.b" {
			t.Errorf("%v: error %v, want one that names talker.b", bad, err)
		}
		if got := append(values(t, a), values(t, b)...); !slices.Equal(got, []float32{1, 2, 3, 4}) {
			t.Errorf("%v: parameters are %v after a refused step, want them unchanged", bad, got)
		}
	}
}

// 30 steps equal 15 steps, a save, a load into a new optimizer, and 15 more.
func TestResumeIsExact(t *testing.T) {
	cfg := optim.DefaultConfig()
	grads := func(k int) []float32 { return draw(rand.New(rand.NewPCG(7, uint64(k))), 100, 1) }
	run := func(o *optim.AdamW, ps []*nn.Param, from, to int) {
		for k := from; k < to; k++ {
			for _, p := range ps {
				setGrad(t, p, grads(k))
			}
			_, err := o.Step(cfg.Schedule.Factor(k, 30))
			must(t, err)
		}
	}
	start := grads(1000)
	fresh := func() (*optim.AdamW, []*nn.Param) {
		ps := []*nn.Param{param(t, "f32", gotch.Float, start, 10, 10), param(t, "bf16", gotch.BFloat16, start, 100)}
		return newAdamW(t, cfg, optim.Group{Name: "g", Params: ps, LR: 0.01, WeightDecay: 0.1}), ps
	}
	whole, want := fresh()
	run(whole, want, 0, 30)

	first, ps := fresh()
	run(first, ps, 0, 15)
	path := filepath.Join(t.TempDir(), "optim.safetensors")
	must(t, first.Save(path))
	second, qs := fresh()
	for i, p := range ps {
		qs[i].Set(nil)
		must(t, tensor.Run(func(s *tensor.Scope) error {
			qs[i].Set(s.Release(s.Clone(s.Detach(p.T))))
			return nil
		}))
	}
	must(t, second.Load(path))
	run(second, qs, 15, 30)
	for i := range want {
		if a, b := values(t, qs[i]), values(t, want[i]); !slices.Equal(a, b) {
			t.Errorf("%s differs after a resume: %v, want %v", want[i].Name, a[:4], b[:4])
		}
	}
}

func TestLoadIsStrict(t *testing.T) {
	cfg := optim.DefaultConfig()
	a := param(t, "a", gotch.Float, make([]float32, 4), 4)
	b := param(t, "b", gotch.Float, make([]float32, 4), 4)
	short := param(t, "a", gotch.Float, make([]float32, 2), 2)
	group := func(ps ...*nn.Param) optim.Group { return optim.Group{Name: "g", Params: ps, LR: 1} }
	path := filepath.Join(t.TempDir(), "optim.safetensors")
	must(t, newAdamW(t, cfg, group(a)).Save(path))
	err := newAdamW(t, cfg, group(short, b)).Load(path)
	for _, want := range []string{"missing b.exp_avg [4]", "missing b.exp_avg_sq [4]", "missing b.step []", "a.exp_avg: shape [4], want [2]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
	other := filepath.Join(t.TempDir(), "model.safetensors")
	must(t, nn.Save(other, a, "", nil))
	if err := newAdamW(t, cfg, group(a)).Load(other); err == nil || !strings.Contains(err.Error(), `"optimizer" is ""`) {
		t.Errorf("error %v for a file that is no optimizer state", err)
	}
}

func TestNewErrors(t *testing.T) {
	p := param(t, "p", gotch.Float, []float32{1}, 1)
	frozen := param(t, "frozen", gotch.Float, []float32{1}, 1)
	frozen.Frozen = true
	double := param(t, "double", gotch.Double, []float32{1}, 1)
	group := func(ps ...*nn.Param) []optim.Group { return []optim.Group{{Name: "g", Params: ps, LR: 1}} }
	bad := optim.DefaultConfig()
	bad.LR, bad.Beta2, bad.WarmupSteps = -1, math.NaN(), -2
	for _, c := range []struct {
		name   string
		groups []optim.Group
		cfg    optim.Config
		want   []string
	}{
		{"twice", group(p, p), optim.DefaultConfig(), []string{`"p" is in group g and in group g`}},
		{"frozen", group(frozen), optim.DefaultConfig(), []string{`"frozen"`, "is frozen"}},
		{"dtype", group(double), optim.DefaultConfig(), []string{`"double"`, "want Float, BFloat16 or Half"}},
		{"no value", group(nn.NewParam("empty", nn.Normal, 1)), optim.DefaultConfig(), []string{`"empty"`, "no value"}},
		{"config", nil, bad, []string{"lr is -1", "beta2 is NaN", "warmup_steps is -2"}},
		{"rate", []optim.Group{{Name: "g", LR: math.NaN()}}, optim.DefaultConfig(), []string{"group g has rate NaN"}},
	} {
		_, err := optim.New(c.groups, c.cfg)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want it to say %q", c.name, err, want)
			}
		}
	}
}

func TestGroups(t *testing.T) {
	w := nn.NewParam("w", nn.Normal, 2, 2)
	gain := nn.NewParam("norm", nn.Ones, 2)
	bias := nn.NewParam("bias", nn.Zeros, 2)
	frozen := &nn.Param{Name: "frozen", Frozen: true}
	scale := &nn.Param{Name: "scale", Initial: nn.Ones, Scale: true, Shape: []int64{2, 1}}
	cfg := optim.DefaultConfig()
	cfg.WeightDecay, cfg.ScaleLR = 0.1, 1e-5
	all := []*nn.Param{w, gain, bias, frozen, scale}
	describe := func(gs []optim.Group) (out []string) {
		for _, g := range gs {
			s := fmt.Sprintf("%s %g %g", g.Name, g.LR, g.WeightDecay)
			for _, p := range g.Params {
				s += " " + p.Name
			}
			out = append(out, s)
		}
		return out
	}
	if got, want := describe(optim.Groups(all, cfg)), []string{"weights 0.001 0.1 w", "gains 0.001 0 norm bias", "scales 1e-05 0 scale"}; !slices.Equal(got, want) {
		t.Errorf("groups %q, want %q", got, want)
	}
	cfg.ScaleLR, cfg.DecayAll = 0, true
	if got := describe(optim.Groups(all, cfg))[1]; got != "gains 0.001 0.1 norm bias" {
		t.Errorf("with decay_all: %q, want a decay of 0.1", got)
	}
	if got := optim.Groups(all, cfg); len(got) != 2 {
		t.Errorf("%d groups with scale_lr 0, want 2: scales are not trained", len(got))
	}
}
