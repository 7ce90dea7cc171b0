// Parity compares the model with goldens of the reference implementation.
//
//	go run ./examples/parity -fixture pkg/talker/testdata/tiny-f32
//	go run ./examples/parity -fixture DIR -json
//
// DIR holds checkpoint/ and golden/. The program prints every golden that it can compute with its error and verdict, lists
// the others as unsupported, and exits with 1 if one differs by more than its tolerance.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/parity"
	"github.com/qakd/qakd/pkg/report"
)

func main() {
	fs := flag.NewFlagSet("parity", flag.ContinueOnError)
	fixture := fs.String("fixture", "", "folder with checkpoint/ and golden/")
	asJSON := fs.Bool("json", false, "print the result as one JSON object")
	os.Exit(experiment.Main(fs, os.Args[1:], func(context.Context) error { return run(os.Stdout, *fixture, *asJSON) }))
}

func run(w io.Writer, fixture string, asJSON bool) error {
	if fixture == "" {
		return experiment.Usagef("-fixture is missing, want a folder with checkpoint/ and golden/")
	}
	if err := tensor.SetThreads(1); err != nil {
		return err
	}
	res, err := parity.Run(fixture)
	if err != nil {
		return err
	}
	if err := show(w, res, asJSON); err != nil {
		return err
	}
	if res.Failed > 0 {
		return fmt.Errorf("parity: %d of %d goldens differ by more than their tolerance", res.Failed, res.Passed+res.Failed)
	}
	return nil
}

func show(w io.Writer, res *parity.Result, asJSON bool) error {
	if asJSON {
		return report.JSON(w, res)
	}
	if err := res.Table().Text(w); err != nil {
		return err
	}
	return res.Summary().Text(w)
}
