package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/qakd/qakd/bench/contest"
)

// result is the best of all rounds, each stage by itself.
type result struct{ ours, rival times }

// rounds lets both sides take turns; the first round only warms up.
func rounds(ctx context.Context, o options, us *ours, them *rival) (result, error) {
	inf := math.Inf(1)
	none := times{Prefill: inf, Talker: inf, Predictor: inf, Codec: inf}
	best := result{none, none}
	for i := range o.rounds + 1 {
		if err := ctx.Err(); err != nil {
			return best, err
		}
		watch := contest.WatchMachine(them.PID())
		a, b, err := round(ctx, o, us, them, i)
		if err != nil {
			return best, err
		}
		others := watch.Others()
		note := ""
		if others > contest.Quiet {
			note = "  disturbed: others used " + fmt.Sprintf("%.0f %% of the machine", 100*others)
		}
		if i == 0 {
			note += "  (warms up, does not count)"
		} else {
			best.ours, best.rival = least(best.ours, a), least(best.rival, b)
		}
		fmt.Printf("round %d: talker %.1f | %.1f  code predictor %.1f | %.1f  codec %.1f | %.1f  prefill %.0f | %.0f ms%s\n", i,
			a.Talker, b.Talker, a.Predictor, b.Predictor, a.Codec, b.Codec, a.Prefill, b.Prefill, note)
	}
	return best, nil
}

func round(ctx context.Context, o options, us *ours, them *rival, i int) (a, b times, err error) {
	const rest = 300 * time.Millisecond // for the other side's threads to stop waiting for work
	if b, err = them.speech(us, i); err != nil {
		return a, b, err
	}
	time.Sleep(rest)
	if a, err = us.Speech(ctx); err != nil {
		return a, b, err
	}
	if a.Rows != b.Rows {
		return a, b, fmt.Errorf("our prompt has %d rows, the rival's %d", a.Rows, b.Rows)
	}
	time.Sleep(rest)
	if b.Codec, err = them.sound(o.chunk); err != nil {
		return a, b, err
	}
	time.Sleep(rest)
	a.Codec, err = us.Sound()
	time.Sleep(rest)
	return a, b, err
}

func least(a, b times) times {
	return times{
		Rows: b.Rows, Prefill: min(a.Prefill, b.Prefill), Talker: min(a.Talker, b.Talker),
		Predictor: min(a.Predictor, b.Predictor), Codec: min(a.Codec, b.Codec),
	}
}

func (r result) rows() []contest.Row {
	line := func(name string, goal float64, of func(t times) float64) contest.Row {
		return contest.NewRow(name, of(r.ours), of(r.rival), goal)
	}
	return []contest.Row{
		line("talker step", 2, func(t times) float64 { return t.Talker }),
		line("code predictor", 2.5, func(t times) float64 { return t.Predictor }),
		line("codec", 1.1, func(t times) float64 { return t.Codec }),
		line("all", 2, func(t times) float64 { return t.Talker + t.Predictor + t.Codec }),
		line("prefill", 1, func(t times) float64 { return t.Prefill }),
	}
}
