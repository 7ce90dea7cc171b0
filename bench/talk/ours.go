package main

import (
	"fmt"
	"io"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/pkg/measure"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// times of one round in milliseconds: the prompt in all, the rest a frame.
type times = measure.Times

// ours is this repository's side.
type ours struct {
	o options
	*measure.Decoder
}

const speaker, language = "ryan", "english"

func loadOurs(o options) (*ours, error) {
	d, err := measure.Open(measure.Options{
		Model: o.model, DType: gotch.BFloat16, Steppers: talker.StepperOptions{Pack: o.pack, Threads: o.threads},
		Text: o.text, Voice: speaker, Language: language, Frames: o.frames + 1, Chunk: o.chunk,
	})
	return &ours{o, d}, err
}

// ids of the whole assistant turn, as the reference takes them.
func (u *ours) ids() []int32 {
	role := u.Model.Config.Role()
	const newline = 198
	turn := append(append([]int32{}, role...), u.Body()...)
	return append(append(turn, u.Model.Config.ImEnd, newline), role...)
}

func (u *ours) what() string {
	return fmt.Sprintf("talker bf16, kernels %s, %s packed; codec %v", u.Kernels(), report.Bytes(u.Steppers.Packed), u.Codec.DType)
}

// profile says where the time of the last round went, and what reading the weights alone takes on this machine.
func (u *ours) profile(w io.Writer, rows []contest.Row) error {
	for _, r := range rows {
		if !r.Reached {
			fmt.Fprintf(w, "goal not reached: %s is %.2f× as fast, want %.1f×\n", r.Name, r.Ratio, r.Goal)
		}
	}
	speed, err := measure.Bandwidth(u.o.threads)
	if err != nil {
		return err
	}
	t := u.Where(speed)
	if t == nil {
		return nil
	}
	fmt.Fprintf(w, "memory: %.1f GB/s on %d threads\n", speed/1e9, u.o.threads)
	return t.Text(w)
}
