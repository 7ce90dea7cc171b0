package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// garage holds the models of both sides, each made when it first runs.
type garage struct {
	shape   shape
	models  map[variant]*model
	lessons map[teaching]*lesson
	them    *contest.Rival
}

// model is the student of v; with a teacher it is the one without.
func (g *garage) model(v variant) (*model, error) {
	v.lesson = alone
	if m := g.models[v]; m != nil {
		return m, nil
	}
	m, err := v.build(g.shape)
	if err == nil {
		g.models[v] = m
	}
	return m, err
}

// lesson is what v's teacher says.
func (g *garage) lesson(v variant) (*lesson, error) {
	if l := g.lessons[v.lesson]; l != nil {
		return l, nil
	}
	dtype := gotch.Float
	if v.lesson == withBF16 {
		dtype = gotch.BFloat16
	}
	l, err := newLesson(g.shape, dtype, v.lesson == fromF32Logits)
	if err == nil {
		g.lessons[v.lesson] = l
	}
	return l, err
}

// run is the time of a step.
func (g *garage) run(v variant) (ms float64, err error) {
	m, err := g.model(v)
	if err != nil {
		return 0, err
	}
	if v.lesson == alone {
		ms, _, err = m.step()
		return ms, err
	}
	l, err := g.lesson(v)
	if err != nil {
		return 0, err
	}
	ms, _, err = m.follow(l)
	return ms, err
}

func (g *garage) ours(v variant) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) { return g.run(v) }
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
func (g *garage) plain() func(context.Context) (float64, error) {
	ours, theirs := g.ours(variant{dtype: gotch.Float}), g.rival("plain")
	return func(ctx context.Context) (float64, error) {
		a, err := ours(ctx)
		if err != nil {
			return 0, err
		}
		b, err := theirs(ctx)
		return min(a, b), err
	}
}

func (g *garage) close() error {
	for _, m := range g.models {
		nn.Close(m)
	}
	for _, l := range g.lessons {
		l.close()
	}
	if g.them == nil {
		return nil
	}
	return g.them.Close()
}

// steps are the races of forward and backward passes; done frees what they use and must be called in any case.
func steps(ctx context.Context, o options) (list []race, rival *contest.Rival, done func() error, err error) {
	g := &garage{shape: reference, models: map[variant]*model{}, lessons: map[teaching]*lesson{}}
	var hello struct{ Torch, Torchao string }
	args := append([]string{filepath.Join(o.peers, "steps.py"), "--threads", fmt.Sprint(o.threads)}, g.shape.flags()...)
	if g.them, err = contest.Start(ctx, o.threads, &hello, o.python, args...); err != nil {
		return nil, nil, g.close, errors.Join(err, errors.New("make bench-train sets the rival up"))
	}
	fmt.Printf("steps: torch %s, torchao %s; our kernels %s\n", hello.Torch, hello.Torchao, tensor.QuantKernels())
	if o.realtime {
		if err := contest.Realtime(os.Getpid(), g.them.PID()); err != nil {
			fmt.Println("not in real time:", err)
		}
	}
	return g.races(o.compiled), g.them, g.close, nil
}

// races are the rows of the table.
func (g *garage) races(compiled bool) (list []race) {
	var (
		g32, g128, bf16 = variant{dtype: gotch.Float, group: 32}, variant{dtype: gotch.Float, group: 128}, variant{dtype: gotch.BFloat16, group: 128}
		integer         = func(v variant) variant { v.integer = true; return v }
		fastest         = func(v variant) variant { v.integer, v.bf16Back = true, true; return v }
		taught          = func(v variant, by teaching) variant { v.lesson = by; return v }
		add             = func(v variant, than string, goal float64, rival func(context.Context) (float64, error)) {
			if v.bf16() && !slices.Contains(native.Kernels(), "avx512") {
				fmt.Printf("left out: %s: %s: without AVX-512 there are no products in bf16\n", v, than)
				return
			}
			list = append(list, race{contest.Contest{Name: v.String() + ": " + than, Goal: goal, Ours: g.ours(v), Rival: rival}, g.profile(v)})
		}
	)
	const over, kdOver, kd, cached = 1 / 1.1, 1 / 1.4, 1 / 0.6, 1 / 1.05
	for _, v := range []variant{g32, g128, integer(g32), integer(g128)} {
		add(v, "the faster plain step", over, g.plain())
	}
	list = append(list, race{Contest: contest.Contest{
		Name: "peak MiB of the W4A8 step g32: of our plain step", Goal: over, Ours: g.memory(g32), Rival: g.memory(variant{dtype: gotch.Float}),
	}})
	for _, v := range []variant{g128, integer(g128), fastest(g128)} {
		add(v, "torchao", 1.61, g.rival("qat_128"))
	}
	for _, v := range []variant{bf16, integer(bf16)} {
		add(v, "torchao", 1.43, g.rival("qat_128_bf16"))
	}
	add(taught(g32, withF32), "torchao", kd, g.rival("kd_32"))
	add(taught(g128, withF32), "torchao", kd, g.rival("kd_128"))
	add(taught(fastest(g128), withBF16), "torchao", kd, g.rival("kd_128_bf16teacher"))
	add(taught(g128, withF32), "the faster plain step", kdOver, g.plain())
	add(taught(fastest(g128), withBF16), "the faster plain step", kdOver, g.plain())
	add(taught(g128, fromF32Logits), "our W4A8 step", cached, g.ours(g128))
	if compiled {
		add(g128, "torchao, compiled", 1, g.rival("qat_128_compiled"))
		add(bf16, "torchao, compiled", 1, g.rival("qat_128_bf16_compiled"))
	}
	return list
}
