package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/sugarme/gotch"
)

// variant is how ours trains.
type variant struct {
	dtype             gotch.DType
	group             int64 // of INT4 weights with INT8 activations per token; 0 for a float step
	integer, bf16Back bool
}

// garage holds the models of both sides, each made when it first runs.
type garage struct {
	models map[variant]*model
	them   *contest.Rival
}

func (g *garage) model(v variant) (*model, error) {
	if m := g.models[v]; m != nil {
		return m, nil
	}
	var q *qat.Config
	if v.group > 0 {
		c := qat.DefaultConfig()
		c.Weight.GroupSize, c.IntegerForward, c.BF16Backward = v.group, v.integer, v.bf16Back
		q = &c
	}
	m, err := newModel(reference, v.dtype, q)
	if err == nil {
		g.models[v] = m
	}
	return m, err
}

// ours is the time of a step.
func (g *garage) ours(v variant) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		m, err := g.model(v)
		if err != nil {
			return 0, err
		}
		ms, _, err := m.step()
		return ms, err
	}
}

// memory is the most that tensors hold in a step, in MiB, parameters included; other models are not counted.
func (g *garage) memory(v variant) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		m, err := g.model(v)
		if err != nil {
			return 0, err
		}
		before := tensor.ResetHeld()
		_, _, err = m.step()
		_, peak := tensor.Held()
		own := int64(0)
		for _, p := range nn.Params(m) {
			own += p.NumElements() * 4
		}
		return float64(peak-before+own) / (1 << 20), err
	}
}

// rival is the time of one of the rival's stages.
func (g *garage) rival(stage string) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		var t struct{ MS float64 }
		err := g.them.Ask(map[string]string{"stage": stage}, &t)
		return t.MS, err
	}
}

// plain is the faster of both sides' float steps.
func (g *garage) plain(v variant, stage string) func(context.Context) (float64, error) {
	ours, theirs := g.ours(v), g.rival(stage)
	return func(ctx context.Context) (float64, error) {
		a, err := ours(ctx)
		if err != nil {
			return 0, err
		}
		b, err := theirs(ctx)
		return min(a, b), err
	}
}

// steps are the contests of forward and backward passes; done frees what they use and must be called in any case.
func steps(ctx context.Context, o options) (list []contest.Contest, done func() error, err error) {
	g := &garage{models: map[variant]*model{}}
	done = func() error {
		for _, m := range g.models {
			nn.Close(m)
		}
		if g.them == nil {
			return nil
		}
		return g.them.Close()
	}
	var hello struct{ Torch, Torchao string }
	args := append([]string{filepath.Join(o.peers, "steps.py"), "--threads", fmt.Sprint(o.threads)}, reference.flags()...)
	if g.them, err = contest.Start(ctx, o.threads, &hello, o.python, args...); err != nil {
		return nil, done, errors.Join(err, errors.New("make bench-train sets the rival up"))
	}
	fmt.Printf("steps: torch %s, torchao %s; our kernels %s\n", hello.Torch, hello.Torchao, tensor.QuantKernels())

	if o.realtime {
		if err := contest.Realtime(os.Getpid(), g.them.PID()); err != nil {
			fmt.Println("not in real time:", err)
		}
	}

	f32, bf16 := variant{dtype: gotch.Float}, variant{dtype: gotch.BFloat16}
	qat := func(v variant, group int64) variant { v.group = group; return v }
	integer := func(v variant) variant { v.integer = true; return v }
	fastest := func(v variant) variant { v.integer, v.bf16Back = true, true; return v }
	const over = 1 / 1.1
	list = []contest.Contest{
		{Name: "W4A8 step g32: the faster plain step, f32", Goal: over, Ours: g.ours(qat(f32, 32)), Rival: g.plain(f32, "plain")},
		{Name: "W4A8 step g128: the faster plain step, f32", Goal: over, Ours: g.ours(qat(f32, 128)), Rival: g.plain(f32, "plain")},
		{Name: "integer W4A8 step g32: the faster plain step, f32", Goal: over, Ours: g.ours(integer(qat(f32, 32))), Rival: g.plain(f32, "plain")},
		{Name: "integer W4A8 step g128: the faster plain step, f32", Goal: over, Ours: g.ours(integer(qat(f32, 128))), Rival: g.plain(f32, "plain")},
		{Name: "peak MiB of the W4A8 step g32: of our plain step", Goal: over, Ours: g.memory(qat(f32, 32)), Rival: g.memory(f32)},
		{Name: "W4A8 step g128, f32: torchao", Goal: 1.61, Ours: g.ours(qat(f32, 128)), Rival: g.rival("qat_128")},
		{Name: "integer W4A8 step g128, f32: torchao", Goal: 1.61, Ours: g.ours(integer(qat(f32, 128))), Rival: g.rival("qat_128")},
		{Name: "integer W4A8 step g128, bf16 backward: torchao", Goal: 1.61, Ours: g.ours(fastest(qat(f32, 128))), Rival: g.rival("qat_128")},
		{Name: "W4A8 step g128, bf16: torchao, bf16", Goal: 1.43, Ours: g.ours(qat(bf16, 128)), Rival: g.rival("qat_128_bf16")},
		{Name: "integer W4A8 step g128, bf16: torchao, bf16", Goal: 1.43, Ours: g.ours(integer(qat(bf16, 128))), Rival: g.rival("qat_128_bf16")},
	}
	if o.compiled {
		list = append(list,
			contest.Contest{Name: "W4A8 step g128, f32: torchao, compiled", Goal: 1, Ours: g.ours(qat(f32, 128)), Rival: g.rival("qat_128_compiled")},
			contest.Contest{Name: "W4A8 step g128, bf16: torchao, bf16, compiled", Goal: 1, Ours: g.ours(qat(bf16, 128)), Rival: g.rival("qat_128_bf16_compiled")})
	}
	return list, done, nil
}
