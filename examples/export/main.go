// Export writes a packed checkpoint in the format of another program: codes and scales as they are, nothing is quantized
// again. What the format cannot hold exactly is refused, with every layer and the reason.
//
//	go run ./examples/export -model runs/demo-w4a8/packed -out student-gguf -format gguf -weights-only
//	go run ./examples/export -model runs/demo-w4a16/packed -out student-gptq -format gptq
//
// Formats: compressed-tensors (vLLM, transformers), gptq and gptq-v2 (GPTQModel, vLLM), awq (vLLM, transformers), torchao,
// gguf (llama.cpp). examples/import reads each of them back.
package main

import (
	"context"
	"flag"
	"io"
	"os"
	"strings"

	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/export"
	"github.com/qakd/qakd/pkg/report"
)

// options is the command line.
type options struct {
	export.Options
	model, out string
	asJSON     bool
}

func main() {
	fs := flag.NewFlagSet("export", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.model, "model", "", "`folder` of the packed checkpoint (required)")
	fs.StringVar(&o.out, "out", "", "`folder` to write (required); an existing one is replaced")
	fs.StringVar(&o.Format, "format", "", "`name` of the format (required): "+strings.Join(export.Formats(), ", "))
	fs.BoolVar(&o.WeightsOnly, "weights-only", false, "leave inputs float that were quantized in training, where the format holds weights alone")
	fs.Int64Var(&o.ShardBytes, "shard", export.DefaultShardBytes, "most `bytes` of a safetensors file")
	fs.BoolVar(&o.asJSON, "json", false, "print the result as one JSON object on stdout")
	os.Exit(experiment.Main(fs, os.Args[1:], func(context.Context) error { return run(os.Stdout, o) }))
}

func run(w io.Writer, o options) error {
	if o.model == "" || o.out == "" || o.Format == "" {
		return experiment.Usagef("-model, -out and -format are required")
	}
	r, err := export.Export(o.model, o.out, o.Options)
	if err != nil {
		return err
	}
	if o.asJSON {
		return report.JSON(w, r)
	}
	return r.Text(w, o.out)
}
