// Load opens a checkpoint a few times and says how long that takes and how much memory it needs at its highest.
//
//	go run ./bench/load -model models/synth-1.7b
//	go run ./bench/load -model models/synth-0.6b -dtype float32
//	go run ./bench/load -model models/synth-1.7b-w4a8
//
// A packed checkpoint is opened as it is spoken with: parameters mapped, INT4 matrices in the interleaved file, which the
// first opening makes. Its seconds end with the first product of a packed matrix.
//
// peak is the largest resident size while loading, mapped files included, less what the process had before; over is what
// of it the parameters do not account for, in copies of the largest tensor. The first opening may read the disk; the
// others find the files in the page cache, as long as the memory is large enough for them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/packed"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

type options struct {
	model, dtype string
	threads, n   int
	json         bool
}

// result of one opening; sizes in bytes.
type result struct {
	Seconds float64 `json:"seconds"`
	Peak    int64   `json:"peak_bytes"`
	Params  int64   `json:"parameter_bytes"`
	Largest int64   `json:"largest_tensor_bytes"`
}

func main() {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.model, "model", "models/synth-1.7b", "checkpoint folder")
	fs.StringVar(&o.dtype, "dtype", "bfloat16", "dtype of the parameters: float32, bfloat16 or float16")
	fs.IntVar(&o.threads, "threads", 2, "libtorch's threads")
	fs.IntVar(&o.n, "n", 5, "openings")
	fs.BoolVar(&o.json, "json", false, "print JSON")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, o) }))
}

func run(ctx context.Context, o options) error {
	dtypes := map[string]gotch.DType{"float32": gotch.Float, "bfloat16": gotch.BFloat16, "float16": gotch.Half}
	dtype, ok := dtypes[o.dtype]
	if !ok {
		return experiment.Usagef("-dtype %q, want float32, bfloat16 or float16", o.dtype)
	}
	if o.n < 1 || o.threads < 1 {
		return experiment.Usagef("-n %d and -threads %d, want at least 1 each", o.n, o.threads)
	}
	if err := tensor.SetThreads(o.threads); err != nil {
		return err
	}
	results := make([]result, 0, o.n)
	for range o.n {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := open(o.model, dtype)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	if o.json {
		return report.JSON(os.Stdout, results)
	}
	t := &report.Table{Title: fmt.Sprintf("%s as %s", o.model, o.dtype), Columns: []string{"opening", "seconds", "peak", "parameters", "largest", "over"}}
	for i, r := range results {
		t.Add(i+1, fmt.Sprintf("%.4f", r.Seconds), report.Bytes(r.Peak), report.Bytes(r.Params), report.Bytes(r.Largest),
			fmt.Sprintf("%.2f", float64(r.Peak-r.Params)/float64(r.Largest)))
	}
	best := slices.MinFunc(results, func(a, b result) int { return int(1e6 * (a.Seconds - b.Seconds)) })
	t.Add("best", fmt.Sprintf("%.4f", best.Seconds), "", "", "", "")
	return t.Text(os.Stdout)
}

// kept are the matrices of a packed checkpoint.
type kept struct{ *packed.Loaded }

func (p *kept) swap(m *talker.Model, dir string) (err error) {
	p.Loaded, err = packed.FromCheckpoint(m, dir, packed.SwapOptions{})
	return err
}

// product multiplies with the first matrix of the interleaved file; others are laid out by then.
func (p *kept) product() error {
	if p.File == nil || len(p.File.Layers()) == 0 {
		return nil
	}
	m, err := p.File.Matrix(p.File.Layers()[0].Path)
	if err != nil {
		return err
	}
	n, k := m.Shape()
	return m.Apply("", make([]float32, k), make([]float32, n))
}

// open loads the talker once and frees it again.
func open(dir string, dtype gotch.DType) (result, error) {
	kind, err := qat.Kind(dir)
	if err != nil {
		return result{}, err
	}
	o, p := talker.Options{DType: dtype}, kept{}
	if kind == "packed" {
		o.Swap, o.Mapped = p.swap, true
	}
	before, err := resident()
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	m, err := talker.Load(dir, o)
	if err == nil && p.Loaded != nil {
		err = p.product()
	}
	if err != nil {
		return result{}, err
	}
	defer tensor.Trim()
	defer p.Close()
	defer m.Close()
	r := result{Seconds: time.Since(began).Seconds()}
	peak, err := highest()
	if err != nil {
		return result{}, err
	}
	r.Peak = peak - before
	for _, p := range nn.Params(m) {
		if p.Outside {
			continue
		}
		size := tensor.ElementSize(p.T.DType())
		for _, d := range p.Shape {
			size *= d
		}
		r.Params, r.Largest = r.Params+size, max(r.Largest, size)
	}
	return r, nil
}
