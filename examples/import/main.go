// Import reads a folder that examples/export has written, in any of its formats, back into a packed checkpoint, which the
// other programs load: the same codes, the same scales.
//
//	go run ./examples/import -in student-gguf -out student-packed
package main

import (
	"context"
	"flag"
	"io"
	"os"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/export"
	"github.com/qakd/qakd/pkg/report"
)

func main() {
	fs := flag.NewFlagSet("import", flag.ContinueOnError)
	in := fs.String("in", "", "`folder` in one of the formats of examples/export (required)")
	out := fs.String("out", "", "`folder` of the packed checkpoint to write (required); an existing one is replaced")
	asJSON := fs.Bool("json", false, "print the result as one JSON object on stdout")
	os.Exit(experiment.Main(fs, os.Args[1:], func(context.Context) error { return run(os.Stdout, *in, *out, *asJSON) }))
}

func run(w io.Writer, in, out string, asJSON bool) error {
	if in == "" || out == "" {
		return experiment.Usagef("-in and -out are required")
	}
	r, err := export.Import(in, out)
	if err != nil {
		return err
	}
	if asJSON {
		return report.JSON(w, r)
	}
	return r.Text(w, out)
}
