// Spread compares finished runs that differ in their seed: mean and spread of every number in their summaries.
//
//	go run ./examples/spread runs/demo-w4a8-seed1 runs/demo-w4a8-seed2 runs/demo-w4a8-seed3
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/stage"
)

func main() {
	asJSON := flag.Bool("json", false, "print the result as one JSON object on stdout")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: spread [-json] RUN RUN...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintf(os.Stderr, "spread: %d run folders, want at least two\n", flag.NArg())
		os.Exit(2)
	}
	if err := run(flag.Args(), *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "spread:", err)
		os.Exit(1)
	}
}

func run(dirs []string, asJSON bool) error {
	s, err := stage.SpreadOf(dirs)
	if err != nil {
		return err
	}
	if asJSON {
		return report.JSON(os.Stdout, s)
	}
	return s.Table().Text(os.Stdout)
}
