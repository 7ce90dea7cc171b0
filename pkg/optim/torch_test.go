package optim_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch"
	gnn "github.com/sugarme/gotch/nn"
)

// One step of torch.optim.AdamW after clip_grad_norm_(1.0), on parameters and gradients of the reference model.
func TestStepEqualsPyTorch(t *testing.T) {
	src, err := ckpt.Open("testdata/adamw_step.safetensors")
	must(t, err)
	defer src.Close()
	read := func(name string) ([]float32, []int64) {
		info, data, err := src.Bytes(name)
		must(t, err)
		x, err := tensor.New(gotch.Float, info.Shape, data)
		must(t, err)
		defer x.Drop()
		v, err := tensor.Floats(x)
		must(t, err)
		return v, info.Shape
	}
	total, _ := read("total_norm")
	clip := min(1, 1/(float64(total[0])+1e-6))
	cfg := optim.DefaultConfig()
	cfg.ClipNorm = 0 // the norm is that of more parameters than are in the file
	for _, info := range src.Infos() {
		name, ok := cut(info.Name)
		if !ok {
			continue
		}
		w, shape := read("param." + name)
		g, _ := read("grad." + name)
		delta, _ := read("delta." + name)
		for i := range g {
			g[i] *= float32(clip)
		}
		p := param(t, name, gotch.Float, w, shape...)
		o := newAdamW(t, cfg, optim.Group{Name: "all", Params: []*nn.Param{p}, LR: 1e-3, WeightDecay: 0.01})
		setGrad(t, p, g)
		_, err := o.Step(1)
		must(t, err)
		compared := 0
		for i, got := range values(t, p) {
			if math.Abs(float64(g[i])) < 1e-6 { // the golden's rule: the direction of so small a gradient is noise
				continue
			}
			compared++
			d, want := float64(got-w[i]), float64(delta[i])
			if math.Abs(d-want) > 2e-5+1e-2*math.Abs(want) {
				t.Fatalf("%s[%d]: change %v, want %v", name, i, d, want)
			}
		}
		if compared < len(w)/2 {
			t.Errorf("%s: only %d of %d elements compared", name, compared, len(w))
		}
	}
}

func cut(name string) (string, bool) {
	const prefix = "delta."
	if len(name) > len(prefix) && name[:len(prefix)] == prefix {
		return name[len(prefix):], true
	}
	return "", false
}

// libtorch's own AdamW, reached through gotch, over many steps and a strong decay.
func TestStepsEqualLibtorch(t *testing.T) {
	const n, steps, lr, wd = 257, 25, 0.02, 0.3
	r := rand.New(rand.NewPCG(3, 4))
	start := draw(r, n, 1)
	cfg := optim.DefaultConfig()
	cfg.ClipNorm, cfg.Beta2 = 0, 0.95
	p := param(t, "w", gotch.Float, start, n)
	ours := newAdamW(t, cfg, optim.Group{Name: "g", Params: []*nn.Param{p}, LR: lr, WeightDecay: wd})

	store := gnn.NewVarStore(gotch.CPU)
	theirs := param(t, "theirs", gotch.Float, start, n).T
	leaf, err := store.Root().Add("w", theirs, true)
	must(t, err)
	opt, err := gnn.NewAdamWConfig(cfg.Beta1, cfg.Beta2, wd).Build(store, lr)
	must(t, err)
	for range steps {
		g := draw(r, n, 1)
		setGrad(t, p, g)
		_, err := ours.Step(1)
		must(t, err)
		must(t, tensor.Run(func(s *tensor.Scope) error {
			if err := tensor.SetGradient(leaf, s.FromFloats(g, n)); err != nil {
				return err
			}
			return opt.Step()
		}))
	}
	want, err := tensor.Floats(leaf)
	must(t, err)
	for i, got := range values(t, p) {
		if d := math.Abs(float64(got - want[i])); d > 2e-6*(1+math.Abs(float64(want[i]))) {
			t.Fatalf("element %d is %v after %d steps, libtorch has %v", i, got, steps, want[i])
		}
	}
}
