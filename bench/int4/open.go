package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/measure"
	"github.com/qakd/qakd/pkg/report"
)

// bound is the side of a contest that is a time, not a rival.
func bound(ms float64) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) { return ms, nil }
}

// opening races the opening of the packed 1.7B, its pages in the system's cache: to the first product, where the rivals
// open their models, and to the first frame.
func opening(ctx context.Context, b *bench) error {
	const size = "1.7b"
	var last []time.Duration // of the last opening, step by step
	first := func(context.Context) (float64, error) {
		var err error
		last, err = b.firstProduct(size)
		return ms(sum(last)), err
	}
	if _, err := first(ctx); err != nil { // makes the file
		return err
	}
	frame := func(ctx context.Context) (float64, error) {
		began := time.Now()
		us, err := b.speaker(size, measure.Options{Rows: 16, Frames: 2, Silent: true})
		if err != nil {
			return 0, err
		}
		defer us.Close()
		_, err = us.Speech(ctx)
		return ms(time.Since(began)), err
	}
	profile := func(float64) (*report.Table, error) {
		t := &report.Table{Title: "opening the packed " + size + ", last round", Columns: []string{"", "ms"}}
		for i, name := range []string{"map the file, read its index", "threads", "first product"} {
			t.Add(name, fmt.Sprintf("%.2f", ms(last[i])))
		}
		return t, nil
	}
	vox, gg := b.peer(ctx, "vox_tts.py", "--model", b.voxModel(size)), b.peer(ctx, "llama.py")
	path, why := b.rivalModel(ctx, gg, talkerShape(size))
	name := "open the packed " + size + ", warm, to the first product"
	const whole = "the rival opens all of a model, ours one matrix; the last row is like for like"
	loads := gg.time(task{"stage": "load", "path": path})
	err := b.run(ctx, "opening", []race{
		{Contest: contest.Contest{Name: name + ": 20 ms", Goal: 1, Ours: first, Rival: bound(20)}, profile: profile},
		{Contest: contest.Contest{Name: name + ": vox-tts opens its model", Goal: 2.5, Ours: first, Note: whole, Rival: vox.time(task{"stage": "load"})}, profile: profile, rival: vox, why: vox.why},
		{Contest: contest.Contest{Name: name + ": llama.cpp loads Q4_0 and decodes a token", Goal: 13, Ours: first, Note: whole, Rival: loads}, profile: profile, rival: gg, why: why},
		{Contest: contest.Contest{Name: "open the packed " + size + ", warm, prompt and two frames: llama.cpp loads Q4_0 and decodes a token", Goal: 1, Ours: frame, Rival: loads}, rival: gg, why: why},
	})
	return errors.Join(err, b.stop(vox), b.stop(gg))
}

// firstProduct opens the interleaved file and multiplies with its first matrix: the time of each step.
func (b *bench) firstProduct(size string) (steps []time.Duration, err error) {
	began := time.Now()
	step := func() {
		steps = append(steps, time.Since(began))
		began = time.Now()
	}
	f, err := int4.Cached(b.packed(size))
	if err != nil {
		return nil, fmt.Errorf("%w (make bench-int4 makes the models)", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.Uncached != nil {
		return nil, f.Uncached
	}
	step()
	pool, err := native.NewPool(b.o.threads, "")
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	step()
	m, err := f.Matrix(f.Layers()[0].Path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	w, err := m.Native("", nil)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	n, k := m.Shape()
	x, y := make([]float32, k), make([]float32, n)
	x[0] = 1
	if err := pool.Apply(w, x, y); err != nil {
		return nil, err
	}
	step()
	if math.IsNaN(float64(y[0])) {
		return nil, errors.New("the first product is not a number")
	}
	return steps, nil
}

func sum(all []time.Duration) (total time.Duration) {
	for _, d := range all {
		total += d
	}
	return total
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
