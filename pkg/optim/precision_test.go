package optim_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch"
)

func TestBadPrecision(t *testing.T) {
	for want, change := range map[string]func(*optim.Config){
		"state_bits is 16, want 32 or 8":                 func(c *optim.Config) { c.StateBits = 16 },
		"state_bits is 0, want 32 or 8":                  func(c *optim.Config) { c.StateBits = 0 },
		`weights is "bf16", want masters or stochastic`:  func(c *optim.Config) { c.Weights = "bf16" },
		"loss_scale is 1000, want 0 or a power of two":   func(c *optim.Config) { c.LossScale = 1000 },
		"loss_scale is 0.5, want 0 or a power of two":    func(c *optim.Config) { c.LossScale = 0.5 },
		"loss_scale is NaN, want 0 or a power of two":    func(c *optim.Config) { c.LossScale = math.NaN() },
		"loss_scale is +Inf, want 0 or a power of two":   func(c *optim.Config) { c.LossScale = math.Inf(1) },
		"loss_scale is -65536, want 0 or a power of two": func(c *optim.Config) { c.LossScale = -65536 },
	} {
		c := optim.DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
	var w optim.Weights
	if err := w.UnmarshalText([]byte("master")); err == nil || !strings.Contains(err.Error(), `weights "master", want masters or stochastic`) {
		t.Errorf("a wrong word: error %v", err)
	}
	p := param(t, "p", gotch.Half, []float32{1}, 1)
	cfg := formConfig(32, optim.Stochastic)
	if _, err := optim.New([]optim.Group{group([]*nn.Param{p})}, cfg); err == nil || !strings.Contains(err.Error(), `parameter "p": has dtype Half`) {
		t.Errorf("stochastic rounding of f16: error %v", err)
	}
}

// Least squares whose gradients are mostly noise in the end: what is left of the distance is the optimizer's own, and 8-bit
// moments leave a little more of it.
func TestCodedMomentsReachTheLoss(t *testing.T) {
	const rows, columns, steps = 64, 128, 300
	loss := func(bits int) (mean float64) {
		r := rand.New(rand.NewPCG(5, 5))
		target := draw(r, rows*columns, 1)
		p := param(t, "w", gotch.Float, make([]float32, rows*columns), rows, columns)
		cfg := optim.DefaultConfig()
		cfg.StateBits, cfg.ClipNorm = bits, 0
		o := newAdamW(t, cfg, optim.Group{Name: "g", Params: []*nn.Param{p}, LR: 0.02})
		for k := range steps {
			noise := draw(r, rows*columns, 1)
			must(t, tensor.Run(func(s *tensor.Scope) error {
				off := s.Sub(s.Detach(p.T), s.FromFloats(target, rows, columns))
				return tensor.SetGradient(p.T, s.Add(off, s.FromFloats(noise, rows, columns)))
			}))
			_, err := o.Step(cfg.Schedule.Factor(k, steps))
			must(t, err)
		}
		for i, v := range values(t, p) {
			mean += float64((v-target[i])*(v-target[i])) / (rows * columns)
		}
		return mean
	}
	full, coded := loss(32), loss(8)
	t.Logf("mean squared distance %g with float32 moments, %g with 8-bit ones", full, coded)
	if math.Abs(coded-full) > 0.04*full {
		t.Errorf("8-bit moments end at %g, float32 ones at %g: %.2f %% apart, want at most 4 %%", coded, full, 100*(coded/full-1))
	}
}
