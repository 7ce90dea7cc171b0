// Interop opens exported folders with the packages whose formats they are, and compares every dequantized weight with ours,
// bit for bit.
//
//	make interop                       # makes the Python environment first
//	go run ./bench/interop -python bench/.venv/bin/python
//	go run ./bench/interop -model runs/demo-w4a16/packed
//
// Without -model, students of the demo teacher are made by round to nearest, one for each of some lattices. The first
// difference ends it; what a format refuses is said in the table. Where llama-cpp-python is installed (make bench-int4 does
// that), llama.cpp also runs an exported talker, whose logits must be ours within what its own arithmetic rounds.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/export"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
)

// lattices are those of the students that are made.
var lattices = []struct {
	name   string
	change func(*qat.Config)
	adjust func(quant.QParams) // of each layer's parameters; may be nil
}{
	{"int4 sym g32", func(*qat.Config) {}, nil},
	{"int4 sym g128, predictor g32", func(c *qat.Config) {
		small := c.Weight
		c.Weight.GroupSize = 128
		c.Overrides = []qat.Override{{Include: []string{"talker.code_predictor.**"}, Weight: &small}}
	}, nil},
	{"int4 asym g32", func(c *qat.Config) { c.Weight.Symmetric = false }, nil},
	{"int4 asym g64, scales of 5 bits", func(c *qat.Config) { c.Weight.Symmetric, c.Weight.GroupSize = false, 64 }, short},
	{"int4 sym channel", func(c *qat.Config) { c.Weight.Granularity, c.Weight.GroupSize = quant.PerChannel, 0 }, nil},
	{"int8 sym g32", func(c *qat.Config) { c.Weight.Bits = 8 }, nil},
	{"int8 asym channel", func(c *qat.Config) { c.Weight = quant.WeightScheme{Bits: 8, Granularity: quant.PerChannel} }, nil},
	{"int4 sym g32, embeddings int8", func(c *qat.Config) {
		c.Embeddings = qat.EmbeddingConfig{Bits: 8, GroupSize: 32, Include: []string{"**"}}
	}, nil},
}

// short cuts the scales to 5 significant bits, so that their products with zero points fit into fp16.
func short(p quant.QParams) {
	for i, s := range p.Scale {
		p.Scale[i] = math.Float32frombits(math.Float32bits(s) &^ 0x7_ffff)
	}
}

func main() {
	fs := flag.NewFlagSet("interop", flag.ContinueOnError)
	python := fs.String("python", "bench/.venv/bin/python", "Python with bench/requirements-interop.txt")
	model := fs.String("model", "", "`folder` of a packed checkpoint, instead of students of the demo teacher")
	os.Exit(experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return run(ctx, *python, *model) }))
}

func run(ctx context.Context, python, model string) error {
	tmp, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := tensor.SetThreads(1); err != nil {
		return err
	}
	models := map[string]string{model: model}
	order := []string{model}
	if model == "" {
		models, order = map[string]string{}, nil
		for i, l := range lattices {
			dir := filepath.Join(tmp, fmt.Sprintf("student-%d", i))
			if err := student(dir, l.change, l.adjust); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			models[l.name], order = dir, append(order, l.name)
		}
	}
	var jobs []job
	for i, name := range order {
		list, err := exports(name, models[name], filepath.Join(tmp, fmt.Sprintf("case-%d", i)))
		if err != nil {
			return err
		}
		jobs = append(jobs, list...)
	}
	if model == "" {
		j, err := llama(filepath.Join(tmp, "llama"))
		if err != nil {
			return err
		}
		jobs = append(jobs, j)
	}
	return check(ctx, python, jobs)
}

// student packs the demo teacher, rounded to nearest.
func student(dir string, change func(*qat.Config), adjust func(quant.QParams)) error {
	teacher, err := demo.TeacherDir()
	if err != nil {
		return err
	}
	return pack(dir, teacher, change, adjust)
}

// pack packs a float checkpoint, rounded to nearest.
func pack(dir, teacher string, change func(*qat.Config), adjust func(quant.QParams)) error {
	m, err := talker.Load(teacher, talker.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	cfg := qat.DefaultConfig()
	cfg.Activation = quant.ActivationScheme{}
	change(&cfg)
	plan, err := qat.Prepare(m, cfg)
	if err != nil {
		return err
	}
	if adjust != nil {
		params := map[string]quant.QParams{}
		for _, s := range plan.Slots(m) {
			p, err := s.P.(*qat.Linear).QParams()
			if err != nil {
				return err
			}
			adjust(p)
			params[s.Path] = p
		}
		if err := qat.SetQParams(m, params); err != nil {
			return err
		}
	}
	_, err = qat.SaveCheckpoint(dir, m, qat.SaveOptions{Source: teacher})
	return err
}

// job is a folder to compare.
type job struct {
	Case    string `json:"case"`
	Format  string `json:"format"`
	Dir     string `json:"dir"`
	Dense   string `json:"dense"`
	refused string
}

// exports writes a packed checkpoint in every format that takes it, and its dequantized weights.
func exports(name, model, dir string) (jobs []job, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	dense := filepath.Join(dir, "dense")
	if err := export.Dense(model, dense); err != nil {
		return nil, err
	}
	for _, format := range export.Formats() {
		j := job{Case: name, Format: format, Dir: filepath.Join(dir, format), Dense: dense}
		_, err := export.Export(model, j.Dir, export.Options{Format: format, WeightsOnly: true})
		var refused *export.RefusedError
		switch {
		case errors.As(err, &refused):
			j.refused = strings.Join(refused.Reasons(), "; ")
		case err != nil:
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// check has Python read the folders, and prints what it says.
func check(ctx context.Context, python string, jobs []job) error {
	var in bytes.Buffer
	e := json.NewEncoder(&in)
	for _, j := range jobs {
		if j.refused == "" {
			if err := e.Encode(j); err != nil {
				return err
			}
		}
	}
	cmd := exec.CommandContext(ctx, python, "-W", "ignore", filepath.Join("bench", "interop", "check.py"))
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = &in, &errs
	out, err := cmd.Output()
	table := report.Table{Columns: []string{"checkpoint", "format", "read with", "layers", "weights", "result"}}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for _, j := range jobs {
		if j.refused != "" {
			table.Add(j.Case, j.Format, "", "", "", "refused: "+j.refused)
			continue
		}
		if !lines.Scan() {
			break
		}
		var r struct {
			Layers, Weights int
			With, Result    string
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("%s: %w", cmd.Path, err)
		}
		table.Add(j.Case, j.Format, r.With, r.Layers, r.Weights, r.Result)
	}
	if err := table.Text(os.Stdout); err != nil {
		return err
	}
	if err != nil {
		text := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return fmt.Errorf("%s: %w: %s", cmd.Path, err, text[len(text)-1])
	}
	return nil
}
