// Inspect looks into a checkpoint: a real one, the built-in demo teacher, a student, or a packed result.
//
//	go run ./examples/inspect -view layers
//	go run ./examples/inspect -view structure -depth 4 -model DIR
//	go run ./examples/inspect -view quant -run runs/demo-w4a8 -teacher DIR -json
//
// The views model, structure, layers, head and vocab read headers and JSON files only, never the weights. forward runs
// one small batch and shows every stage; quant shows how each layer is quantized, or for a float checkpoint what the
// experiment would do. -run looks at the furthest checkpoint of a run: packed, distilled, calibrated or student. Nothing is
// written, except to -out.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/inspect"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

func main() {
	fs := flag.NewFlagSet("inspect", flag.ContinueOnError)
	common := experiment.Flags{Experiment: stage.DefaultExperiment}
	common.Register(fs)
	name := fs.String("view", "model", usage())
	depth := fs.Int("depth", 0, "structure: `levels` of the tree (0: all)")
	teacher := fs.String("teacher", "", "quant: `folder` of the float checkpoint to measure weights against")
	os.Exit(experiment.Main(fs, os.Args[1:], func(context.Context) error {
		return run(os.Stdout, common, *name, inspect.Options{Depth: *depth, Teacher: *teacher})
	}))
}

func usage() string {
	text := "`name` of the view:"
	for _, v := range inspect.Views() {
		text += fmt.Sprintf("\n%-10s %s", v.Name, v.What)
	}
	return text + "\n"
}

func run(w io.Writer, f experiment.Flags, name string, o inspect.Options) error {
	view, err := inspect.Find(name)
	if err != nil {
		return &experiment.UsageError{Err: err}
	}
	if o.Depth < 0 {
		return experiment.Usagef("-depth is %d, want 0 (all levels) or more", o.Depth)
	}
	dir := f.Model
	f.Model = "" // an experiment with a model of its own wants data for it, which a look does not need
	e, resolved, err := stage.Resolve(f)
	if err != nil {
		return err
	}
	if f.DryRun {
		return stage.PrintValues(w, resolved, f.JSON)
	}
	if err := stage.Vacant(f.Out); err != nil {
		return err
	}
	if dir, err = checkpoint(dir, f.Run, e.Model); err != nil {
		return err
	}
	c, err := inspect.Open(dir)
	if err != nil {
		return err
	}
	o.Quant = e.Quant
	if o.Load.DType, err = e.TensorType(); err != nil {
		return err
	}
	if o.Load.Device, err = e.Setup(); err != nil {
		return err
	}
	result, err := view.Look(c, o)
	if err != nil {
		return err
	}
	return show(w, result, f)
}

// checkpoint is the folder to look at: -model; else the furthest that the run has; else the experiment's model, or the
// built-in teacher.
func checkpoint(model, run, fromExperiment string) (string, error) {
	if model != "" {
		return model, nil
	}
	if run != "" {
		for _, entry := range []string{stage.PackedDir, stage.DistilledDir, stage.CalibratedDir, stage.StudentDir} {
			dir := filepath.Join(run, entry)
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				return dir, nil
			}
		}
		return "", fmt.Errorf("run folder %s has no checkpoint (packed, distilled, calibrated or student)", run)
	}
	if fromExperiment != "" {
		return fromExperiment, nil
	}
	return demo.TeacherDir()
}

// show prints tables, or JSON; -out gets the JSON in either case.
func show(w io.Writer, result inspect.Result, f experiment.Flags) error {
	if f.Out != "" {
		if err := fsx.Write(f.Out, func(w io.Writer) error { return report.JSON(w, result) }); err != nil {
			return err
		}
	}
	if f.JSON {
		return report.JSON(w, result)
	}
	for _, t := range result.Tables() {
		if err := t.Text(w); err != nil {
			return err
		}
	}
	return nil
}
