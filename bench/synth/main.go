// Synth writes a checkpoint of the published shapes with random weights: what loading, memory and speed depend on, and
// nothing that was ever trained.
//
//	go run ./bench/synth -size 1.7b -kind base -codec -out models/synth-1.7b
//
//	go run ./bench/synth -size 1.7b -packed -codec -out models/synth-1.7b-w4a8
//
// A packed checkpoint has the weights of the other one of the same seed, and the interleaved file of pkg/int4 beside them.
// Names, shapes, dtypes and file sizes are those of the published checkpoints. The vocabulary is a small one of bytes: the
// published one belongs to its owners. A folder appears whole or not at all.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/experiment"
)

func main() {
	fs := flag.NewFlagSet("synth", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.size, "size", "1.7b", "size of the model: 1.7b or 0.6b")
	fs.StringVar(&o.kind, "kind", "base", "kind of the model: base, custom_voice or voice_design")
	fs.StringVar(&o.out, "out", "", "folder to write (required); it must not exist")
	fs.Int64Var(&o.seed, "seed", 1, "seed of the weights")
	fs.IntVar(&o.shards, "shards", 1, "number of files to spread the tensors over")
	fs.BoolVar(&o.packed, "packed", false, "quantize: INT4 weights by rounding to nearest, W4A8, groups of 128, of 32 in the code predictor")
	fs.IntVar(&o.embeddings, "embeddings", 0, "with -packed, bits of the embedding tables: 4 or 8; 0 leaves them in bf16")
	fs.BoolVar(&o.codec, "codec", false, "write speech_tokenizer/ as well, another 682 MB")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, o) }))
}

func run(ctx context.Context, o options) error {
	began := time.Now()
	if err := o.validate(); err != nil {
		return err
	}
	if err := write(ctx, o); err != nil {
		return err
	}
	h, err := ckpt.HeaderOnly(o.out)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d tensors, %d bytes in %d file(s), %.1f s\n", o.out, len(h.Infos), h.Bytes, len(h.Files), time.Since(began).Seconds())
	return nil
}
