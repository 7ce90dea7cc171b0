// Evaluate measures a finished run: teacher, INT8 and INT4 round-to-nearest, INT4 calibrated, INT4 distilled.
//
//	go run ./examples/evaluate -experiment demo-w4a8 -run runs/mine
//
// Every quantized row is a packed checkpoint that was written and read back. It prints KL and agreement for code 0 and each
// codebook, EOS errors, durations and sizes, and writes <run>/summary.json. Where the teacher has a speech tokenizer, the
// rows speak: <run>/samples has a WAV file of the same texts for each.
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
		Name: "evaluate", Again: true, Output: stage.SummaryFile,
		Work: func(ctx context.Context, r *stage.Run) (any, []*report.Table, error) {
			summary, err := r.Evaluate(ctx)
			if err != nil {
				return nil, nil, err
			}
			if err := r.Samples(ctx); err != nil {
				return nil, nil, err
			}
			fmt.Fprintln(r.Log, summary.Conclusion())
			return summary, summary.Tables(), nil
		},
	}.Main())
}
