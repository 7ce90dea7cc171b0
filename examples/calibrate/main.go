// Calibrate runs calibration speech through the float teacher, watches the input of every targeted layer, and fits the
// student's scales.
//
//	go run ./examples/calibrate -experiment demo-w4a8 -run runs/mine
//
// It prepares the student first if the run has none, prints a line per layer (tokens, range, scale, SQNR before and
// after) and writes <run>/calibration.safetensors and <run>/calibrated.
package main

import (
	"context"
	"os"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

func main() {
	os.Exit(stage.Program{
		Name: "calibrate", Products: []string{stage.ResultFile, stage.CalibratedDir}, Output: stage.ResultFile,
		Work: func(ctx context.Context, r *stage.Run) (any, []*report.Table, error) {
			if _, err := r.Student(); err != nil {
				return nil, nil, err
			}
			res, err := r.Calibrate(ctx)
			if err != nil {
				return nil, nil, err
			}
			table := &report.Table{Title: "calibration", Columns: calib.Columns(), Rows: res.Report.Table()}
			return res.Report, []*report.Table{table}, nil
		},
	}.Main())
}
