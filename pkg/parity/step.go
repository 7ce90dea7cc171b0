package parity

import (
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch/ts"
)

// step takes one optimizer step of the golden's settings with the gradients that the parameters hold.
func (x *inputs) step() error {
	c := x.c
	cfg := optim.DefaultConfig()
	cfg.LR, cfg.WeightDecay, cfg.ClipNorm = 1e-3, 0.01, 1
	opt, err := optim.New([]optim.Group{{Name: "all", Params: nn.Params(x.m), LR: cfg.LR, WeightDecay: cfg.WeightDecay}}, cfg)
	if err != nil {
		return err
	}
	defer opt.Close()
	before, grads := make(map[string]*ts.Tensor), make(map[string][]float32)
	for _, p := range nn.Params(x.m) {
		if !x.has("step.delta." + p.Name) {
			continue
		}
		before[p.Name] = c.Clone(c.Detach(p.T))
		if g := c.Gradient(p.T); g != nil {
			if grads[p.Name], err = tensor.Floats(g); err != nil {
				return err
			}
		}
	}
	norm, err := opt.Step(1)
	if err != nil {
		return err
	}
	x.out.put("step.total_norm", c.FromFloats([]float32{float32(norm)}, 1))
	clip := min(1, cfg.ClipNorm/(norm+1e-6))
	for _, p := range nn.Params(x.m) {
		name := "step.delta." + p.Name
		if before[p.Name] == nil {
			continue
		}
		if grads[p.Name] == nil {
			x.fail(name, "the parameter has no gradient")
			continue
		}
		// Below 1e-6 the step g/(|g|+eps) turns rounding of g into a different step: the manifest skips these.
		only := make([]bool, len(grads[p.Name]))
		for i, g := range grads[p.Name] {
			only[i] = math.Abs(float64(g))*clip >= 1e-6
		}
		x.out.putOnly(name, c.Sub(c.Detach(p.T), before[p.Name]), only)
	}
	return nil
}
