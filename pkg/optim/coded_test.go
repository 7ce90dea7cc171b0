package optim_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch"
)

// forms of state and weight.
var formConfigs = []struct {
	bits    int
	weights optim.Weights
}{{32, optim.Masters}, {32, optim.Stochastic}, {8, optim.Masters}, {8, optim.Stochastic}}

// pair is a parameter above the bound for 8-bit moments, with a part of a block, and one below.
func pair(t *testing.T, dtype gotch.DType) []*nn.Param {
	r := rand.New(rand.NewPCG(4, 4))
	return []*nn.Param{param(t, "large", dtype, draw(r, 70*61, 0.5), 70, 61), param(t, "small", dtype, draw(r, 300, 0.5), 300)}
}

// train runs steps from..to with gradients that are a function of the step.
func train(t *testing.T, o *optim.AdamW, ps []*nn.Param, from, to int) {
	t.Helper()
	for k := from; k < to; k++ {
		for i, p := range ps {
			n := 1
			for _, d := range p.Shape {
				n *= int(d)
			}
			g := draw(rand.New(rand.NewPCG(uint64(k), uint64(i))), n, math.Pow(10, float64(-k%3)))
			clear(g[:min(n/4, 256)]) // a block without gradients
			setGrad(t, p, g)
		}
		_, err := o.Step(1)
		must(t, err)
	}
}

// state are all tensors of it, as bytes.
func stateBytes(t *testing.T, o *optim.AdamW, path string) map[string]string {
	t.Helper()
	must(t, o.Save(path))
	src, err := ckpt.Open(path)
	must(t, err)
	defer src.Close()
	out := map[string]string{}
	for _, info := range src.Infos() {
		_, data, err := src.Bytes(info.Name)
		must(t, err)
		out[info.Name+" "+info.DType] = string(data)
	}
	return out
}

func formConfig(bits int, weights optim.Weights) optim.Config {
	cfg := optim.DefaultConfig()
	cfg.StateBits, cfg.Weights, cfg.Seed, cfg.Beta2 = bits, weights, 11, 0.95
	return cfg
}

func group(ps []*nn.Param) optim.Group {
	return optim.Group{Name: "g", Params: ps, LR: 0.01, WeightDecay: 0.1}
}

// The form for other devices: moments and weights to rounding, so that codes and stochastically rounded bf16 may be one off.
func TestFormsEqualComposite(t *testing.T) {
	for _, f := range formConfigs {
		for _, dtype := range []gotch.DType{gotch.Float, gotch.BFloat16, gotch.Half} {
			if dtype == gotch.Half && f.weights == optim.Stochastic {
				continue
			}
			t.Run(fmt.Sprint(f, dtype), func(t *testing.T) {
				var got [2][]*nn.Param
				for i := range 2 {
					got[i] = pair(t, dtype)
					o := newAdamW(t, formConfig(f.bits, f.weights), group(got[i]))
					if i == 1 {
						o.Composite()
					}
					train(t, o, got[i], 0, 4)
				}
				for i, p := range got[0] {
					rel := map[gotch.DType]float64{gotch.Float: 1e-5, gotch.BFloat16: 1.0 / 128, gotch.Half: 1.0 / 512}[dtype]
					same, a, b := 0, values(t, p), values(t, got[1][i])
					testkit.Close(t, p.Name, b, a, 2e-5, rel)
					for j := range a {
						if a[j] == b[j] {
							same++
						}
					}
					if same < len(a)*9/10 && dtype != gotch.Float { // mostly the same bits: also the same rounding by chance
						t.Errorf("%s: %d of %d weights have the same bits", p.Name, same, len(a))
					}
				}
			})
		}
	}
}

func TestFormsDoNotDependOnThreads(t *testing.T) {
	for _, f := range formConfigs {
		var states [2]map[string]string
		var weights [2][]float32
		for i := range 2 {
			must(t, tensor.SetThreads(1+i))
			p := param(t, "w", gotch.BFloat16, draw(rand.New(rand.NewPCG(1, 1)), 150_000, 1), 150_000)
			o := newAdamW(t, formConfig(f.bits, f.weights), group([]*nn.Param{p}))
			train(t, o, []*nn.Param{p}, 0, 3)
			states[i], weights[i] = stateBytes(t, o, filepath.Join(t.TempDir(), "o")), values(t, p)
		}
		must(t, tensor.SetThreads(1))
		for name, have := range states[0] {
			if states[1][name] != have {
				t.Errorf("%v: %s differs between 1 and 2 threads", f, name)
			}
		}
		if !slices.Equal(weights[0], weights[1]) {
			t.Errorf("%v: weights differ between 1 and 2 threads", f)
		}
	}
}

// 12 steps equal 5, a save, a load into a new optimizer, and 7 more, to the bit of every state and weight.
func TestResumeOfFormsIsExact(t *testing.T) {
	for _, f := range formConfigs {
		cfg := formConfig(f.bits, f.weights)
		want := pair(t, gotch.BFloat16)
		whole := newAdamW(t, cfg, group(want))
		train(t, whole, want, 0, 12)

		got := pair(t, gotch.BFloat16)
		first := newAdamW(t, cfg, group(got))
		train(t, first, got, 0, 5)
		path := filepath.Join(t.TempDir(), "optim.safetensors")
		must(t, first.Save(path))
		second := newAdamW(t, cfg, group(got))
		must(t, second.Load(path))
		train(t, second, got, 5, 12)
		a, b := stateBytes(t, whole, path), stateBytes(t, second, path)
		if len(a) != len(b) {
			t.Errorf("%v: %d tensors of state, want %d", f, len(b), len(a))
		}
		for name := range a {
			if a[name] != b[name] {
				t.Errorf("%v: %s differs after a resume", f, name)
			}
		}
		for i := range want {
			if !slices.Equal(values(t, want[i]), values(t, got[i])) {
				t.Errorf("%v: %s differs after a resume", f, want[i].Name)
			}
		}
	}
}

// A state of one form is refused by an optimizer of another, by the name of the knob.
func TestOtherFormIsRefused(t *testing.T) {
	for _, c := range []struct {
		change func(*optim.Config)
		want   string
	}{
		{func(c *optim.Config) { c.StateBits = 32 }, `state_bits of the state is "8", that of this optimizer "32"`},
		{func(c *optim.Config) { c.Weights = optim.Masters }, `weights of the state is "stochastic"`},
		{func(c *optim.Config) { c.Seed = 12 }, `rounding_seed of the state is "11"`},
	} {
		ps := pair(t, gotch.BFloat16)
		cfg := formConfig(8, optim.Stochastic)
		path := filepath.Join(t.TempDir(), "optim.safetensors")
		must(t, newAdamW(t, cfg, group(ps)).Save(path))
		c.change(&cfg)
		err := newAdamW(t, cfg, group(ps)).Load(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want it to name %s and say %q", err, path, c.want)
		}
	}
}

// StateBytes is what is really kept: all tensors of a saved state but the step counts.
func TestStateBytes(t *testing.T) {
	for _, f := range formConfigs {
		for _, dtype := range []gotch.DType{gotch.Float, gotch.BFloat16} {
			ps := pair(t, dtype)
			cfg := formConfig(f.bits, f.weights)
			have := int64(0)
			for name, data := range stateBytes(t, newAdamW(t, cfg, group(ps)), filepath.Join(t.TempDir(), "o")) {
				if !strings.HasSuffix(name, ".step I64") {
					have += int64(len(data))
				}
			}
			var shapes [][]int64
			for _, p := range ps {
				shapes = append(shapes, p.Shape)
			}
			if got := cfg.StateBytes(shapes, dtype); got != have {
				t.Errorf("%v %v: StateBytes is %d, the state has %d", f, dtype, got, have)
			}
		}
	}
}

// Changes far below the spacing of bf16 arrive on the mean, without a float32 copy.
func TestStochasticWeightsMove(t *testing.T) {
	const n, steps = 20_000, 10
	cfg := formConfig(8, optim.Stochastic)
	start := make([]float32, n)
	for i := range start {
		start[i] = 1
	}
	p := param(t, "w", gotch.BFloat16, start, n)
	o := newAdamW(t, cfg, optim.Group{Name: "g", Params: []*nn.Param{p}, LR: 1e-4}) // the spacing below 1 is 2^-8
	for range steps {
		g := make([]float32, n)
		for i := range g {
			g[i] = 1
		}
		setGrad(t, p, g)
		_, err := o.Step(1)
		must(t, err)
	}
	mean := 0.0
	for _, v := range values(t, p) {
		mean += float64(v) / n
	}
	if want := 1 - steps*1e-4; math.Abs(mean-want) > 2e-4 { // 5 standard deviations
		t.Errorf("mean of the weights %v, want %v", mean, want)
	}
}

// A row that gets no gradient any more must not run away: its v is small, but not 0.
func TestQuietRowsStayBounded(t *testing.T) {
	cfg := formConfig(8, optim.Masters)
	cfg.ClipNorm = 0
	p := param(t, "w", gotch.Float, make([]float32, 4096), 16, 256)
	o := newAdamW(t, cfg, optim.Group{Name: "g", Params: []*nn.Param{p}, LR: 1e-3})
	for k := range 30 {
		g := make([]float32, 4096)
		if k < 3 {
			for i := range g {
				g[i] = 1e-5 // far below the block's largest
			}
			g[0] = 1
		}
		setGrad(t, p, g)
		_, err := o.Step(1)
		must(t, err)
	}
	for i, v := range values(t, p) {
		if math.Abs(float64(v)) > 30*1e-3*4 {
			t.Fatalf("weight %d moved to %v in 30 steps of rate 1e-3", i, v)
		}
	}
}
