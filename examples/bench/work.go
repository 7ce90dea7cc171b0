package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/qakd/qakd/internal/memory"
	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/optim"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/train"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// work is what all measurements share.
type work struct {
	e        stage.Experiment
	o        options
	source   string
	device   gotch.Device
	us       []data.Utterance
	estimate *stage.Memory
}

// result of a student; times are of one update.
type result struct {
	Name      string        `json:"student"`
	Teacher   time.Duration `json:"teacher_ns"`
	Forward   time.Duration `json:"forward_ns"`
	Backward  time.Duration `json:"backward_ns"`
	Optimizer time.Duration `json:"optimizer_ns"`
	Update    time.Duration `json:"update_ns"`
	Peak      int64         `json:"peak_bytes"` // anonymous memory; 0 where the system does not tell
	Losses    []float64     `json:"losses"`
}

func newWork(e stage.Experiment, o options) (*work, error) {
	w := &work{e: e, o: o, source: e.Model}
	var err error
	if w.device, err = e.Setup(); err != nil {
		return nil, err
	}
	if w.source == "" {
		if w.source, err = demo.TeacherDir(); err != nil {
			return nil, err
		}
	}
	cfg, err := talker.ReadConfig(w.source)
	if err != nil {
		return nil, err
	}
	w.us = utterances(cfg, o)
	return w, nil
}

// utterances are random ones, with what a checkpoint of cfg's kind needs.
func utterances(cfg *talker.Config, o options) (us []data.Utterance) {
	r := rng.New(1, "bench")
	ids := func(n int) (out []int32) {
		for range n {
			out = append(out, int32(r.IntN(200)))
		}
		return out
	}
	for i := range o.batch {
		u := data.Utterance{ID: fmt.Sprint("random ", i), Text: ids(o.text), Language: "auto", Instruct: ids(8)}
		for _, name := range slices.Sorted(maps.Keys(cfg.Talker.SpeakerIDs))[:min(1, len(cfg.Talker.SpeakerIDs))] {
			u.Speaker = name
		}
		for range cfg.Talker.Hidden {
			u.Vector = append(u.Vector, float32(r.NormFloat64()))
		}
		for range o.frames {
			codes := make([]int32, cfg.Groups())
			for g := range codes {
				codes[g] = int32(r.IntN(int(cfg.Codebook())))
			}
			u.Codes = append(u.Codes, codes)
		}
		us = append(us, u)
	}
	return us
}

// foresee is the estimate, before anything is loaded.
func (w *work) foresee(ctx context.Context) (*stage.Memory, error) {
	cfg, err := talker.ReadConfig(w.source)
	if err != nil {
		return nil, err
	}
	m, err := talker.New(cfg)
	if err != nil {
		return nil, err
	}
	plan, err := qat.NewPlan(m, w.e.Quant)
	if err != nil {
		return nil, err
	}
	defer tensor.Trim()
	return w.e.MemoryOf(ctx, m, plan, w.us)
}

// student loads one, fake-quantized or not.
func (w *work) student(quantized bool) (*talker.Model, error) {
	dtype, err := w.e.TensorType()
	if err != nil {
		return nil, err
	}
	m, err := talker.Load(w.source, talker.Options{DType: dtype, Device: w.device})
	if err == nil && quantized {
		if _, err = qat.Prepare(m, w.e.Quant); err != nil {
			m.Close()
		}
	}
	return m, err
}

// objective is that of the experiment: a teacher, what it said, or labels alone. The caller calls done.
func (w *work) objective(ctx context.Context, student *talker.Model) (o *distill.Objective, done func(), err error) {
	cfg := w.e.Distill
	if !cfg.Taught() {
		o, err = distill.New(nil, student, cfg)
		return o, func() {}, err
	}
	dtype, err := w.e.TeacherType()
	if err != nil {
		return nil, nil, err
	}
	teacher, err := talker.Load(w.source, talker.Options{DType: dtype, Device: w.device})
	if err != nil {
		return nil, nil, err
	}
	if !cfg.Cache.On() {
		o, err = distill.New(teacher, student, cfg)
		return o, teacher.Close, err
	}
	defer tensor.Trim()
	defer teacher.Close()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { os.RemoveAll(dir) }
	cache, err := distill.NewCache(ctx, dir, teacher, "bench", cfg, func(yield func([]data.Utterance, error) bool) { yield(w.us, nil) }, nil)
	if err != nil {
		remove()
		return nil, nil, err
	}
	o, err = distill.NewCached(cache, student, cfg)
	return o, func() { cache.Close(); remove() }, err
}

// measure runs updates of a student and keeps the best time of each part.
func (w *work) measure(ctx context.Context, name string, quantized bool) (*result, error) {
	watched := memory.ResetPeak() == nil
	student, err := w.student(quantized)
	if err != nil {
		return nil, err
	}
	defer tensor.Trim()
	defer student.Close()
	objective, done, err := w.objective(ctx, student)
	if err != nil {
		return nil, err
	}
	defer done()
	opt, err := optim.New(optim.Groups(nn.Params(student), w.e.Train.Optim), w.e.Train.Optim)
	if err != nil {
		return nil, err
	}
	defer opt.Close()
	best := &result{Name: name}
	for step := range w.o.steps + 1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := w.update(objective, opt)
		if err != nil {
			return nil, err
		}
		if step > 0 {
			best.keep(r)
		}
		if watched {
			if best.Peak, err = memory.PeakAnonymous(); err != nil {
				return nil, err
			}
		}
		fmt.Fprintf(os.Stderr, "bench: %s, update %d: loss %.4f, %.0f ms, peak %s\n", name, step, r.Losses[0], r.Update.Seconds()*1000, report.Bytes(best.Peak))
	}
	return best, nil
}

// update is one step, timed.
func (w *work) update(o *distill.Objective, opt *optim.AdamW) (r result, err error) {
	began, taught := time.Now(), o.TeacherTime()
	err = nn.Run(func(c *nn.Context) error {
		var loss *ts.Tensor
		if loss, err = train.Loss(c, o, w.us, w.e.Train.GradientCheckpointing); err != nil {
			return err
		}
		v, err := tensor.Scalar(loss)
		if err != nil {
			return err
		}
		r.Losses = []float64{v}
		r.Teacher = o.TeacherTime() - taught
		r.Forward = time.Since(began) - r.Teacher
		half := time.Now()
		err = tensor.Backward(loss)
		r.Backward = time.Since(half)
		return err
	})
	if err != nil {
		return r, err
	}
	half := time.Now()
	if _, err := opt.Step(1); err != nil {
		return r, err
	}
	r.Optimizer = time.Since(half)
	r.Update = time.Since(began)
	return r, nil
}

// keep takes the lesser times of r.
func (b *result) keep(r result) {
	less := func(have *time.Duration, d time.Duration) {
		if *have == 0 || d < *have {
			*have = d
		}
	}
	less(&b.Teacher, r.Teacher)
	less(&b.Forward, r.Forward)
	less(&b.Backward, r.Backward)
	less(&b.Optimizer, r.Optimizer)
	less(&b.Update, r.Update)
	b.Losses = append(b.Losses, r.Losses...)
}
