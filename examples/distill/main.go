// Distill is the whole job: quantization-aware knowledge distillation of a talker, from teacher to packed INT4 checkpoint.
//
//	go run ./examples/distill                                  the built-in demo, W4A8
//	go run ./examples/distill -experiment qwen3-tts-0.6b-w4a16 -model DIR -set data.distillation=train.jsonl ...
//
// With blockwise.epochs above 0 the calibrated student is first trained block by block against the float blocks. Stages that
// the run folder already has are not repeated, so it also goes on from student and calibrate. Ctrl-C finishes the step and
// saves; -resume continues. At the end <run>/packed holds the checkpoint and <run>/summary.json the table.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

func main() {
	os.Exit(stage.Program{
		Name:     "distill",
		Products: []string{stage.BlockwiseDir, stage.CheckpointsDir, stage.DistilledDir, stage.PackedDir, stage.SummaryFile},
		Output:   stage.PackedDir,
		Work:     work,
	}.Main())
}

func work(ctx context.Context, r *stage.Run) (any, []*report.Table, error) {
	if _, err := r.Student(); err != nil {
		return nil, nil, err
	}
	if _, err := r.Calibrate(ctx); err != nil {
		return nil, nil, err
	}
	if err := r.Blockwise(ctx); err != nil {
		return nil, nil, err
	}
	if err := r.Distill(ctx); err != nil {
		return nil, nil, err
	}
	if err := r.Convert(); err != nil {
		return nil, nil, err
	}
	summary, err := r.Evaluate(ctx)
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintln(r.Log, summary.Conclusion())
	return summary, summary.Tables(), nil
}
