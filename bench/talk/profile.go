package main

import (
	"fmt"
	"io"
	"time"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
)

// profile says where the time of the last round went, and what reading the weights alone takes on this machine.
func (u *ours) profile(w io.Writer, rows []contest.Row) error {
	for _, r := range rows {
		if !r.Reached {
			fmt.Fprintf(w, "goal not reached: %s is %.2f× as fast, want %.1f×\n", r.Name, r.Ratio, r.Goal)
		}
	}
	if u.steppers.Kernels == "" {
		return nil
	}
	speed, err := u.memory()
	if err != nil {
		return err
	}
	n := float64(u.frames)
	t := &report.Table{Title: "where a frame's time goes, last round", Columns: []string{"", "ms", "q k v, attention", "o", "gate, up", "down", "heads", "draws", "weights", "at memory speed"}}
	add := func(name string, total time.Duration, s native.Spent, bytes float64) {
		cell := func(d time.Duration) string { return fmt.Sprintf("%.2f", ms(d)/n) }
		t.Add(name, cell(total), cell(s.QKV), cell(s.O), cell(s.GateUp), cell(s.Down), cell(s.Heads), cell(s.Draws),
			fmt.Sprintf("%.0f MB", bytes/1e6), fmt.Sprintf("%.2f ms", 1e3*bytes/speed))
	}
	part := 2.0 // bytes of a weight
	if u.steppers.Packed > 0 {
		part = 1.5
	}
	steps := float64(u.m.Config.Groups() - 1)
	predictor := steps*weightsOf(u.m.Predictor.Decoder) + weightsOf(u.m.Predictor) - weightsOf(u.m.Predictor.Decoder)
	add("talker rows", u.spent.Steps, u.spent.Talker, part*weightsOf(u.m.Decoder))
	add("codec_head", u.spent.Logits, native.Spent{}, part*float64(u.m.CodecHead.In*u.m.CodecHead.Out))
	add("code predictor", u.spent.Frames, u.spent.Predictor, part*predictor)
	fmt.Fprintf(w, "memory: %.1f GB/s on %d threads\n", speed/1e9, u.o.threads)
	return t.Text(w)
}

// weightsOf counts the weights of all projections.
func weightsOf(m nn.Module) float64 {
	n := int64(0)
	for _, s := range nn.Slots(m) {
		n += s.In * s.Out
	}
	return float64(n)
}

// memory is the best speed of reading, in bytes a second.
func (u *ours) memory() (float64, error) {
	pool, err := native.NewPool(u.o.threads, "")
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	const size = 512 << 20
	best := 0.0
	for range 5 {
		d, err := pool.Read(size)
		if err != nil {
			return 0, err
		}
		best = max(best, size/d.Seconds())
	}
	return best, nil
}

func difference(a, b talker.Spent) talker.Spent {
	parts := func(a, b native.Spent) native.Spent {
		return native.Spent{QKV: a.QKV - b.QKV, O: a.O - b.O, GateUp: a.GateUp - b.GateUp, Down: a.Down - b.Down, Heads: a.Heads - b.Heads, Draws: a.Draws - b.Draws}
	}
	return talker.Spent{
		Prefill: a.Prefill - b.Prefill, Steps: a.Steps - b.Steps, Logits: a.Logits - b.Logits, Frames: a.Frames - b.Frames,
		Talker: parts(a.Talker, b.Talker), Predictor: parts(a.Predictor, b.Predictor),
	}
}
