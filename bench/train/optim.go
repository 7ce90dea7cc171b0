package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch/ts"
)

// The parameters of both sides: matrices of this width.
const (
	matrices = 48
	columns  = 1024
)

// shelf are float32 parameters with gradients, and optimizers of both forms for them.
type shelf struct {
	params      []*nn.Param
	grads       []*ts.Tensor
	full, coded *optim.AdamW
}

// optimizers are the races of AdamW steps; done frees what they use and must be called in any case.
func optimizers(ctx context.Context, o options) (list []race, them *contest.Rival, done func() error, err error) {
	s := &shelf{}
	done = func() error { s.close(); return nil }
	if err := s.fill(o.params, matrices); err != nil {
		return nil, nil, done, err
	}
	var hello struct{ Torch, Bitsandbytes string }
	them, err = contest.Start(ctx, o.threads, &hello, o.python, filepath.Join(o.peers, "optim.py"),
		"--threads", fmt.Sprint(o.threads), "--params", fmt.Sprint(o.params), "--matrices", fmt.Sprint(matrices), "--columns", fmt.Sprint(columns))
	if err != nil {
		return nil, nil, done, fmt.Errorf("%w (make bench-train sets it up)", err)
	}
	done = func() error { s.close(); return them.Close() }
	fmt.Printf("optimizers: torch %s, bitsandbytes %s\n", hello.Torch, hello.Bitsandbytes)
	rival := func(stage string) func(context.Context) (float64, error) {
		return func(context.Context) (float64, error) {
			var t struct{ MS float64 }
			err := them.Ask(map[string]string{"stage": stage}, &t)
			return t.MS, err
		}
	}
	apply := func(a *optim.AdamW) func(context.Context) (float64, error) {
		return timed(func() error { return a.Apply(1, 1) })
	}
	step := func(context.Context) (float64, error) {
		if err := s.setGradients(); err != nil {
			return 0, err
		}
		ms, err := timed(func() error { _, err := s.full.Step(1); return err })(ctx)
		return ms, errors.Join(err, s.setGradients())
	}
	what := fmt.Sprintf("AdamW step, %.0f M parameters, ", o.params)
	// Gradient, parameter and both moments are read, the latter three written; of 8 bits, a moment takes a byte and its
	// share of a block's scale.
	const f32, clipped, coded = 4 * (4 + 3), 4 * (5 + 3), 4*(2+1) + 4*(1+4.0/256)
	fullStep := func(s *shelf) error { return s.full.Apply(1, 1) }
	codedStep := func(s *shelf) error { return s.coded.Apply(1, 1) }
	clippedStep := func(s *shelf) error { _, err := s.full.Step(1); return err }
	return []race{
		{contest.Contest{Name: what + "f32 states: torch fused", Goal: 1, Ours: apply(s.full), Rival: rival("fused")},
			o.profile(what+"f32 states", f32, fullStep)},
		{contest.Contest{Name: what + "f32 states, with clipping: torch fused", Goal: 1, Ours: step, Rival: rival("clip_fused")},
			o.profile(what+"f32 states, with clipping", clipped, clippedStep)},
		{contest.Contest{Name: what + "8-bit states: bitsandbytes", Goal: 9, Ours: apply(s.coded), Rival: rival("bitsandbytes")},
			o.profile(what+"8-bit states", coded, codedStep)},
		{contest.Contest{Name: what + "8-bit states: torch fused, f32 states", Goal: 1 / 1.3, Ours: apply(s.coded), Rival: rival("fused")},
			o.profile(what+"8-bit states", coded, codedStep)},
	}, them, done, nil
}

// timed is the time of one call.
func timed(f func() error) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		began := time.Now()
		err := f()
		return since(began), err
	}
}

// fill draws parameters and gradients as the rival does.
func (s *shelf) fill(params float64, matrices int64) error {
	rows := int64(params*1e6) / matrices / columns
	err := tensor.Run(func(sc *tensor.Scope) error {
		for i := range matrices {
			p := nn.NewParam(fmt.Sprint("w", i), nn.Normal, rows, columns)
			p.Set(sc.Release(sc.MulScalar(sc.Randn(rows, columns), 0.02)))
			s.params = append(s.params, p)
			s.grads = append(s.grads, sc.Release(sc.MulScalar(sc.Randn(rows, columns), 1e-3)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	group := func() []optim.Group {
		return []optim.Group{{Name: "all", Params: s.params, LR: 1e-4, WeightDecay: 0.1}}
	}
	cfg := optim.DefaultConfig()
	cfg.Beta2 = 0.95
	if s.full, err = optim.New(group(), cfg); err != nil {
		return err
	}
	cfg.StateBits = 8
	if s.coded, err = optim.New(group(), cfg); err != nil {
		return err
	}
	return s.setGradients()
}

func (s *shelf) setGradients() error {
	for i, p := range s.params {
		if err := tensor.SetGradient(p.T, s.grads[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) close() {
	for _, o := range []*optim.AdamW{s.full, s.coded} {
		if o != nil {
			o.Close()
		}
	}
	for i, p := range s.params {
		p.Set(nil)
		s.grads[i].Drop()
	}
}
