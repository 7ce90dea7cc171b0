package optim

import (
	"errors"
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/native/adamw"
	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/shim"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// AdamW holds the state of every parameter of its groups. It is used by one goroutine. The parameters stay their
// modules': a tensor that is replaced between steps is picked up, if shape, dtype and device stay.
type AdamW struct {
	cfg    Config
	groups []Group
	states []*state // in the order of groups and their parameters
	scale  lossScale

	composite bool // tensor operations also on the CPU
}

// state is what the updates of one parameter carry along, on its device.
type state struct {
	param      *nn.Param
	group      *Group
	m, v       moment
	master     *ts.Tensor // float32 weight; nil where the parameter is float32 itself, or rounded stochastically
	stochastic bool
	seed       int64 // of the rounding
	step       int64 // updates so far

	memory adamw.Param // where all this is, once it is known
	mapped *ts.Tensor  // the parameter's tensor then
}

// NonFiniteError is a gradient with a NaN or an infinity in it. No parameter has been changed.
type NonFiniteError struct{ Param string }

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("optim: the gradient of %q holds NaN or infinite values, want finite numbers", e.Param)
}

// New makes the optimizer, with moments of zero, and lets the parameters record gradients. Parameters must have a value
// in float32, bf16 or f16, and each may be in one group only. The caller closes it.
func New(groups []Group, cfg Config) (*AdamW, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o := &AdamW{cfg: cfg, groups: groups, scale: lossScale{factor: cfg.LossScale}}
	seen := make(map[string]string)
	for i := range groups {
		g := &groups[i]
		if !(g.LR >= 0) || !(g.WeightDecay >= 0) {
			o.Close()
			return nil, fmt.Errorf("optim: group %s has rate %v and weight decay %v, want numbers >= 0", g.Name, g.LR, g.WeightDecay)
		}
		for _, p := range g.Params {
			if other, dup := seen[p.Name]; dup {
				o.Close()
				return nil, fmt.Errorf("optim: parameter %q is in group %s and in group %s, want it in one", p.Name, other, g.Name)
			}
			seen[p.Name] = g.Name
			st, err := newState(p, g, cfg)
			if err != nil {
				o.Close()
				return nil, fmt.Errorf("optim: parameter %q: %w", p.Name, err)
			}
			o.states = append(o.states, st)
		}
	}
	return o, nil
}

func newState(p *nn.Param, g *Group, cfg Config) (*state, error) {
	switch {
	case p.T == nil:
		return nil, fmt.Errorf("has no value yet: load or initialize it first")
	case p.Frozen:
		return nil, fmt.Errorf("is frozen, but in group %s", g.Name)
	}
	dtype := p.T.DType()
	if dtype != gotch.Float && dtype != gotch.BFloat16 && dtype != gotch.Half {
		return nil, fmt.Errorf("has dtype %v, want Float, BFloat16 or Half", dtype)
	}
	if dtype == gotch.Half && cfg.Weights == Stochastic {
		return nil, fmt.Errorf("has dtype Half and weights is %q, want Float or BFloat16: rounded f16 loses small weights", cfg.Weights)
	}
	st := &state{param: p, group: g, stochastic: dtype == gotch.BFloat16 && cfg.Weights == Stochastic, seed: rng.Seed(cfg.Seed, "round "+p.Name)}
	err := tensor.Run(func(s *tensor.Scope) error {
		if err := tensor.RequireGrad(p.T, true); err != nil {
			return err
		}
		coded := cfg.coded(elements(s.Shape(p.T)))
		st.m, st.v = newMoment(s, p.T, adamw.Signed, coded), newMoment(s, p.T, adamw.Unsigned, coded)
		if dtype != gotch.Float && !st.stochastic {
			st.master = s.Release(s.To(s.Detach(p.T), gotch.Float))
		}
		return nil
	})
	return st, err
}

// Step updates every parameter that has a gradient and drops the gradients. factor multiplies the groups' rates; norm is
// the norm of all gradients together, those of the loss without its scale, before clipping. A gradient that is not finite
// is a *SkippedError where the loss has a scale that can be to blame, else a *NonFiniteError, before anything is changed;
// the gradients then stay for inspection.
func (o *AdamW) Step(factor float64) (norm float64, err error) {
	err = tensor.Run(func(s *tensor.Scope) error {
		grads, n, err := o.gradients(s)
		var bad *NonFiniteError
		if errors.As(err, &bad) && o.scale.overflowed() {
			return errors.Join(&SkippedError{bad.Param, o.scale.value()}, o.ZeroGrad())
		}
		if err != nil {
			return err
		}
		norm = n
		clip := 1.0
		if o.cfg.ClipNorm > 0 {
			clip = min(1, o.cfg.ClipNorm/(norm+1e-6))
		}
		if err := o.update(s, grads, factor, clip/o.scale.value()); err != nil {
			return err
		}
		o.scale.applied()
		return o.ZeroGrad()
	})
	return norm, err
}

// GradNorm is the norm of all gradients together, or a *NonFiniteError.
func (o *AdamW) GradNorm() (norm float64, err error) {
	err = tensor.Run(func(s *tensor.Scope) error {
		_, norm, err = o.gradients(s)
		return err
	})
	return norm, err
}

// gradients are those of the states, nil for none, and their norm without the scale of the loss, summed in float64 in the
// order of the states.
func (o *AdamW) gradients(s *tensor.Scope) ([]*ts.Tensor, float64, error) {
	grads := make([]*ts.Tensor, len(o.states))
	for i, st := range o.states {
		grads[i] = s.Gradient(st.param.T)
	}
	squares, err := o.squares(s, grads)
	if err != nil {
		return nil, 0, err
	}
	sum := 0.0
	for i, sq := range squares {
		if math.IsNaN(sq) || math.IsInf(sq, 0) {
			return nil, 0, &NonFiniteError{Param: o.states[i].param.Name}
		}
		sum += sq
	}
	return grads, math.Sqrt(sum) / o.scale.value(), nil
}

// Apply updates every parameter that has a gradient by scale times its gradient, which it neither looks at nor drops: Step
// without its guard, its norm and its clipping.
func (o *AdamW) Apply(factor, scale float64) error {
	return tensor.Run(func(s *tensor.Scope) error {
		grads := make([]*ts.Tensor, len(o.states))
		for i, st := range o.states {
			grads[i] = s.Gradient(st.param.T)
		}
		return o.update(s, grads, factor, scale)
	})
}

// update applies the gradients, those that there are, to their parameters.
func (o *AdamW) update(s *tensor.Scope, grads []*ts.Tensor, factor, scale float64) error {
	var near []*state // on the CPU
	var nearGrads []*ts.Tensor
	var numbers []shim.AdamWStep
	for i, st := range o.states {
		if grads[i] == nil {
			continue
		}
		st.step++
		n := shim.AdamWStep{
			LR: st.group.LR * factor, Beta1: o.cfg.Beta1, Beta2: o.cfg.Beta2, Eps: o.cfg.Eps,
			WeightDecay: st.group.WeightDecay, GradScale: scale, Step: st.step,
		}
		if !o.composite && s.Device(st.param.T).Name == gotch.CPU.Name {
			near, nearGrads, numbers = append(near, st), append(nearGrads, grads[i]), append(numbers, n)
			continue
		}
		// Temporaries of one parameter at a time.
		var err error
		s.Nest(func(in *tensor.Scope) { err = st.composite(in, grads[i], n) })
		if err != nil {
			return fmt.Errorf("optim: parameter %q: %w", st.param.Name, err)
		}
	}
	return fused(s, near, nearGrads, numbers)
}

// corrected are the factors of a step that depend on its number, rounded once.
func corrected(n shim.AdamWStep) (decay, stepSize, root2 float32) {
	c1, c2 := 1-math.Pow(n.Beta1, float64(n.Step)), 1-math.Pow(n.Beta2, float64(n.Step))
	return float32(1 - n.LR*n.WeightDecay), float32(n.LR / c1), float32(math.Sqrt(c2))
}

// ZeroGrad drops the gradients of all parameters.
func (o *AdamW) ZeroGrad() error {
	for _, st := range o.states {
		if err := tensor.ZeroGrad(st.param.T); err != nil {
			return fmt.Errorf("optim: parameter %q: %w", st.param.Name, err)
		}
	}
	return nil
}

// Close frees the state. The parameters stay.
func (o *AdamW) Close() {
	for _, st := range o.states {
		st.m.drop()
		st.v.drop()
		if st.master != nil {
			st.master.Drop()
		}
	}
	o.states = nil
}
