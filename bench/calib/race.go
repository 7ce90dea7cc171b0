package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/native/lattice"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/report"
	"github.com/sugarme/gotch/ts"
)

// group is the size of the groups.
const group = 128

var scheme = quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: group}

// layer is what both sides quantize: a weight [out, in] and inputs [rows, in].
type layer struct {
	job
	w []float32
	x *ts.Tensor
}

// race lets both sides quantize one layer in turns. Where ours misses its goal, there is a profile.
func (o options) race(ctx context.Context, j job) (row contest.Row, missed *report.Table, err error) {
	l := layer{job: j}
	err = nn.Run(func(c *nn.Context) error {
		if err := l.make(c); err != nil {
			return err
		}
		dir, err := os.MkdirTemp("", "calib")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		them, err := o.rival(ctx, l, dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, them.Close()) }()
		if o.realtime {
			if err := contest.Realtime(os.Getpid(), them.PID()); err != nil {
				return err
			}
			defer contest.Ordinary(os.Getpid())
		}
		var ours, theirs float64
		rows, err := contest.Run(ctx, os.Stdout, []contest.Contest{{
			Name: fmt.Sprintf("%s, %d × %d, group %d", j.method, j.out, j.in, group), Goal: j.goal,
			Ours: func(context.Context) (ms float64, err error) {
				c.Nest(func(in *nn.Context) { ms, ours, err = l.quantize(in, o) })
				return ms, err
			},
			Rival: func(context.Context) (float64, error) {
				var a struct{ MS, Error float64 }
				err := them.Ask(map[string]any{"method": j.method, "steps": o.steps}, &a)
				theirs = a.Error
				return a.MS, err
			},
		}}, o.rounds, them.PID())
		if err != nil {
			return err
		}
		row = rows[0]
		note := fmt.Sprintf("output error %.5f, rival's %.5f", ours, theirs)
		if row.Note != "" {
			note += "; " + row.Note
		}
		row.Note, row.Reached = note, row.Reached && ours <= theirs
		if !row.Reached {
			missed, err = l.profile(c, o, row.Ours)
		}
		return err
	})
	return row, missed, err
}

// make draws the weight and inputs of 64 factors, noise, and channels of different size.
func (l *layer) make(c *nn.Context) (err error) {
	w, size := c.MulScalar(c.Randn(l.out, l.in), 0.02), c.Exp(c.MulScalar(c.Randn(l.in), 0.7))
	x := c.Add(c.Matmul(c.Randn(l.rows, 64), c.MulScalar(c.Randn(64, l.in), 1./8)), c.MulScalar(c.Randn(l.rows, l.in), 0.3))
	l.x = c.Mul(x, size)
	l.w, err = tensor.Floats(w)
	return err
}

// rival starts the other side and gives it the layer.
func (o options) rival(ctx context.Context, l layer, dir string) (*contest.Rival, error) {
	weight, input := filepath.Join(dir, "weight"), filepath.Join(dir, "input")
	err := nn.Run(func(c *nn.Context) error {
		for path, t := range map[string]*ts.Tensor{weight: c.FromFloats(l.w, l.out, l.in), input: l.x} {
			b, err := tensor.Bytes(t)
			if err == nil {
				err = os.WriteFile(path, b, 0o600)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var hello struct{ Torch string }
	them, err := contest.Start(ctx, o.threads, &hello, o.python, filepath.Join(o.peers, "calib.py"),
		"--threads", fmt.Sprint(o.threads), "--group", fmt.Sprint(group))
	if err != nil {
		return nil, fmt.Errorf("%w (make bench-calib sets it up)", err)
	}
	fmt.Printf("%s: torch %s\n", l.method, hello.Torch)
	return them, them.Ask(map[string]any{"weight": weight, "input": input, "out": l.out, "in": l.in}, &struct{}{})
}

// quantize does ours once: how long it took, and the error of the first 1024 rows' outputs over their size.
func (l *layer) quantize(c *nn.Context, o options) (ms, loss float64, err error) {
	began := time.Now()
	p, codes, scale, err := l.fit(c, o)
	ms = float64(time.Since(began).Nanoseconds()) / 1e6
	if err != nil {
		return 0, 0, err
	}
	q := make([]int16, len(codes))
	for i, u := range codes {
		q[i] = int16(int32(u) + scheme.QMin())
	}
	y, err := quant.Dequantize(q, l.out, l.in, p, scheme)
	if err != nil {
		return 0, 0, err
	}
	d, wt := c.FromFloats(y, l.out, l.in), c.FromFloats(l.w, l.out, l.in)
	if scale != nil {
		d = c.Div(d, c.FromFloats(scale, l.in))
	}
	x := c.Transpose(c.Narrow(l.x, 0, 0, 1024), 0, 1)
	noise, err := tensor.Scalar(c.Sum(c.Square(c.Matmul(c.Sub(d, wt), x))))
	if err != nil {
		return 0, 0, err
	}
	signal, err := tensor.Scalar(c.Sum(c.Square(c.Matmul(wt, x))))
	return ms, math.Sqrt(noise / signal), err
}

// fit is what is timed: parameters and codes, and the scale that channels were multiplied by.
func (l *layer) fit(c *nn.Context, o options) (p quant.QParams, codes []byte, scale []float32, err error) {
	cfg := calib.DefaultConfig()
	gram := func(x *ts.Tensor) *ts.Tensor { return c.MulScalar(calib.Product(c.Scope, x), 1/float64(c.Shape(x)[0])) }
	weight := calib.Weight{W: l.w, Out: l.out, In: l.in, Scheme: scheme}
	switch l.method {
	case "rtn":
		p, codes, err = calib.Nearest(l.w, l.out, l.in, scheme, quant.AbsMaxHalf)
	case "mse":
		cfg.WeightMethod, cfg.Weighting = calib.SearchMSE, calib.WeightNone // over 80 points, the rival over 40
		if p, _, err = calib.FitWeight(c, weight, nil, nil, cfg); err == nil {
			codes, err = calib.Codes(weight, p)
		}
	case "gptq":
		cfg.WeightMethod, cfg.GPTQ.Scales = calib.RoundGPTQ, calib.AbsMaxHalf // by a rule, as the rival has them
		p, codes, err = calib.FitWeight(c, weight, nil, gram(l.x), cfg)
	case "autoround":
		cfg.WeightMethod, cfg.AutoRound.Steps = calib.RoundAuto, o.steps
		p, codes, err = calib.FitWeight(c, weight, nil, gram(l.x), cfg)
	case "awq":
		cfg.WeightMethod = calib.AbsMaxHalf // which is how it is rounded below
		var size []float64
		mean, err := tensor.Floats(c.MeanDim(c.Abs(l.x), false, 0))
		if err != nil {
			return p, nil, nil, err
		}
		for _, m := range mean {
			size = append(size, float64(m))
		}
		if scale, err = calib.ScaleAWQ(c, size, gram(l.x), []calib.Weight{weight}, cfg); err != nil {
			return p, nil, nil, err
		}
		set, err := lattice.SetOf("", o.threads)
		if err != nil {
			return p, nil, nil, err
		}
		scaled := set.Scaled(l.w, scale)
		p, codes, err = calib.Nearest(scaled, l.out, l.in, scheme, quant.AbsMaxHalf)
		return p, codes, scale, err
	}
	return p, codes, scale, err
}
