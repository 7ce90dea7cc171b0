// Calibrate runs calibration speech through the float teacher, watches the input of every targeted layer, and fits the
// student's scales, and with some methods its codes.
//
//	go run ./examples/calibrate -experiment demo-w4a8 -run runs/mine
//	go run ./examples/calibrate -experiment demo-w4a8 -set calib.weight_method=autoround -run runs/autoround
//	go run ./examples/calibrate -experiment demo-twin-w4a8 -compare rtn,mse,awq,gptq,autoround -run runs/compare
//	go run ./examples/calibrate -experiment demo-w4a16 -budget 2.5MiB -run runs/mixed
//
// It prepares the student first if the run has none, and goes through the teacher block by block: memory holds what is known
// of one block, the log says how long the rest will take, and -resume goes on at the block where a run was stopped. It prints
// a line per layer, the most damaged first (tokens, range, scale, SQNR before and after, error of the output), and writes
// <run>/calibration.safetensors and <run>/calibrated. With -compare it writes <run>/comparison.json instead: methods side by
// side, by what the whole model says. With -sensitivity it measures what every form of every layer alone does to the speech,
// <run>/sensitivity.json, and with -budget it also finds the bits of each with which the packed model.safetensors does least
// damage within so many bytes, and writes the experiment, <run>/plan.toml.
package main

import (
	"context"
	"flag"
	"os"
	"strings"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

func main() { os.Exit(program().Main()) }

func program() stage.Program {
	var methods string
	var damages bool
	var budget int64
	return stage.Program{
		Name: "calibrate", Products: []string{stage.ResultFile, stage.CalibratedDir, stage.CompareFile}, Output: stage.ResultFile,
		Flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&damages, "sensitivity", false, "measure what quantizing each layer alone does")
			fs.Func("budget", "plan mixed precision for a packed model.safetensors of this `size`, such as 1.2GB or 900MiB", func(s string) (err error) {
				budget, err = report.ParseBytes(s)
				return err
			})
			fs.StringVar(&methods, "compare", "", "compare `methods`, of "+strings.Join(calib.Presets(), ",")+"; an observer of static inputs may follow, as in gptq/mse")
		},
		Check: func() error {
			if methods != "" && (budget > 0 || damages) {
				return experiment.Usagef("-compare with -budget or -sensitivity: want one of them, in runs of their own")
			}
			return nil
		},
		Work: func(ctx context.Context, r *stage.Run) (any, []*report.Table, error) {
			if budget > 0 || damages {
				return mixed(ctx, r, budget)
			}
			if _, err := r.Student(); err != nil {
				return nil, nil, err
			}
			if methods != "" {
				r.Output = stage.CompareFile
				c, err := r.Compare(ctx, strings.Split(methods, ","))
				if err != nil {
					return nil, nil, err
				}
				return c, c.Tables(), nil
			}
			res, err := r.Calibrate(ctx)
			if err != nil {
				return nil, nil, err
			}
			res.Report.SortByDamage()
			table := &report.Table{Title: "calibration, the most damaged layers first", Columns: calib.Columns(), Rows: res.Report.Table()}
			return res.Report, []*report.Table{table}, nil
		},
	}
}

// mixed measures damages, and plans where there is a budget.
func mixed(ctx context.Context, r *stage.Run, budget int64) (any, []*report.Table, error) {
	if budget == 0 {
		r.Output = stage.SensitivityFile
		s, err := r.Sensitivity(ctx)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Tables(), nil
	}
	r.Output = stage.PlanFile
	m, err := r.MixedPrecision(ctx, budget)
	if err != nil {
		return nil, nil, err
	}
	return m, m.Tables(), nil
}
