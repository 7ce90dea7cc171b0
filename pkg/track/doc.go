// Package track records what a training run reports at each step.
//
// A Tracker gets Start once, Step after every optimizer step, and Close at the
// end; Note passes on a line of text in between. There are three: JSONL writes
// metrics.jsonl, the source of truth for plots and reports; Progress shows a
// bar on a terminal and plain lines in a pipe; Multi feeds several at once.
//
//	t := track.Multi(track.NewJSONL("runs/x/metrics.jsonl"), track.NewProgress(os.Stderr, "distill", 20))
//	err := t.Start(0, 500)
//	err = t.Step(track.Step{Step: 1, Tokens: 812, Values: []track.Value{{"loss", 0.41}, {"kl", 0.40}}})
//	err = t.Close()
//
// Trackers take plain numbers, so they work beside a training goroutine that
// owns its thread, and build without cgo. They are not safe for concurrent use.
package track
