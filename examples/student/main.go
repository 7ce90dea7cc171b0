// Student prepares a fake-quantized student from a teacher: the targeted linear layers get INT4 weights (and quantized
// activations) in the forward pass, with scales from the weights alone.
//
//	go run ./examples/student -experiment demo-w4a8 -run runs/mine
//
// It prints what happens to each layer and writes <run>/student; calibrate, distill and evaluate go on from there.
package main

import (
	"context"
	"os"

	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

func main() {
	os.Exit(stage.Program{
		Name: "student", Products: []string{stage.StudentDir}, Output: stage.StudentDir,
		Work: func(_ context.Context, r *stage.Run) (any, []*report.Table, error) {
			plan, err := r.Student()
			if err != nil {
				return nil, nil, err
			}
			return plan, []*report.Table{stage.PlanTable(plan)}, nil
		},
	}.Main())
}
