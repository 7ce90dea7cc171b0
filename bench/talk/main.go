// Talk measures decoding beside the reference implementation: the talker, the code predictor and the speech tokenizer's
// decoder for a frame, and the prompt.
//
//	make bench-talk                    # makes checkpoint and Python environment first
//	go run ./bench/talk -model models/synth-0.6b-voice -python bench/.venv/bin/python
//
// Both sides load the same checkpoint of random weights as bf16, run the same prompt with the published sampling, and
// take turns in one run; the best of the rounds counts. bench/talk.json gets one object per row; ratio is how many times
// faster ours is.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/qakd/qakd/bench/contest"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/experiment"
)

type options struct {
	model, python, peer, out string
	dtype                    string // of the rival
	threads, rounds          int
	frames, text, chunk      int
	pack, realtime           bool
}

func main() {
	fs := flag.NewFlagSet("talk", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.model, "model", "models/synth-0.6b-voice", "checkpoint folder of a custom_voice model with its speech tokenizer")
	fs.StringVar(&o.python, "python", "bench/.venv/bin/python", "Python with bench/requirements.txt")
	fs.StringVar(&o.peer, "peer", "bench/peers/qwen3tts.py", "the rival")
	fs.StringVar(&o.out, "out", "bench/talk.json", "file for the results")
	fs.StringVar(&o.dtype, "rival-dtype", "bfloat16", "dtype of the rival: bfloat16 or float32")
	fs.IntVar(&o.threads, "threads", 2, "threads of each side")
	fs.IntVar(&o.rounds, "rounds", 7, "rounds, of which the best counts; at least 5")
	fs.IntVar(&o.frames, "frames", 16, "frames of speech in a round")
	fs.IntVar(&o.text, "text", 18, "tokens of text in the prompt")
	fs.IntVar(&o.chunk, "chunk", 25, "frames that the speech tokenizer decodes at once")
	fs.BoolVar(&o.pack, "pack", true, "pack our bf16 weights into 12 bits, without loss")
	fs.BoolVar(&o.realtime, "realtime", false, "run both sides before all other programs (SCHED_FIFO; needs the right to)")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, o) }))
}

func run(ctx context.Context, o options) error {
	if o.threads < 1 || o.rounds < 5 || o.frames < 2 || o.text < 1 || o.chunk < 1 {
		return experiment.Usagef("-threads %d -rounds %d -frames %d -text %d -chunk %d, want at least 1, 5, 2, 1 and 1",
			o.threads, o.rounds, o.frames, o.text, o.chunk)
	}
	if err := tensor.SetThreads(o.threads); err != nil {
		return err
	}
	fmt.Println(contest.Machine(o.threads))
	us, err := loadOurs(o)
	if err != nil {
		return err
	}
	defer us.Close()
	fmt.Println("ours: ", us.what())
	them, err := startRival(ctx, o)
	if err != nil {
		return err
	}
	defer them.Close()
	fmt.Println("rival:", them.what)
	if o.realtime {
		if err := contest.Realtime(os.Getpid(), them.PID()); err != nil {
			fmt.Println("not in real time:", err)
		}
	}
	best, err := rounds(ctx, o, us, them)
	if err != nil {
		return err
	}
	rows := best.rows()
	if err := contest.Publish(o.out, os.Stdout, "milliseconds a frame (prefill: in all), best of the rounds", rows); err != nil {
		return err
	}
	return us.profile(os.Stdout, rows)
}
