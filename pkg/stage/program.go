package stage

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
)

// DefaultExperiment is what the programs run unless -experiment says otherwise.
const DefaultExperiment = "demo-w4a8"

// Program is the frame that the programs of a run share: flags, experiment, run folder, result.
type Program struct {
	Name     string
	Products []string               // entries of the run folder that it makes; one that is there is an error without -resume
	Again    bool                   // works on what is there and may be repeated: no folder is occupied for it
	Output   string                 // the entry that -out copies, unless the work gives the run another
	Flags    func(fs *flag.FlagSet) // adds flags of its own; or nil
	Check    func() error           // of what they say, before anything is read; or nil
	// Work runs stages. Its result goes to stdout as JSON with -json, else its tables do.
	Work func(ctx context.Context, r *Run) (result any, tables []*report.Table, err error)
}

// Main runs the program with the process's arguments and returns its exit code.
func (p Program) Main() int {
	fs := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	f := experiment.Flags{Experiment: DefaultExperiment}
	f.Register(fs)
	if p.Flags != nil {
		p.Flags(fs)
	}
	return experiment.Main(fs, os.Args[1:], func(ctx context.Context) error { return p.run(ctx, f) })
}

func (p Program) run(ctx context.Context, f experiment.Flags) (err error) {
	began := time.Now()
	if p.Check != nil {
		if err := p.Check(); err != nil {
			return err
		}
	}
	e, resolved, err := Resolve(f)
	if err != nil {
		return err
	}
	if f.DryRun {
		return dryRun(ctx, os.Stdout, e, resolved, f.JSON)
	}
	if err := Vacant(f.Out); err != nil {
		return err
	}
	if p.Again {
		if _, err := os.Stat(f.RunDir()); err != nil {
			return fmt.Errorf("run folder: %w", err)
		}
	}
	r, err := Open(e, resolved, f.RunDir(), f.Resume || p.Again, p.Products...)
	if err != nil {
		return err
	}
	r.Name, r.began = f.Experiment, began
	defer func() { err = errors.Join(err, r.Close()) }()
	result, tables, err := p.Work(ctx, r)
	if err != nil {
		return err
	}
	if f.Out != "" {
		if err := r.deliver(cmp.Or(r.Output, p.Output), f.Out); err != nil {
			return err
		}
	}
	if f.JSON {
		return report.JSON(os.Stdout, result)
	}
	for _, t := range tables {
		if err := t.Text(os.Stdout); err != nil {
			return err
		}
	}
	return nil
}

// Vacant wants nothing at -out: it is checked before hours of work, not after.
func Vacant(out string) error {
	if out == "" {
		return nil
	}
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("-out %s is there already, want a path that is not", out)
	}
	return nil
}

// deliver copies an entry of the run folder, a file or a folder, to a path outside.
func (r *Run) deliver(entry, out string) error {
	from := r.path(entry)
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fsx.CopyFile(out, from)
	}
	return fsx.PublishDir(out, func(tmp string) error { return os.CopyFS(tmp, os.DirFS(from)) })
}

// PrintValues is what -dry-run prints of an experiment: every value with its origin, as a table or as JSON.
func PrintValues(w io.Writer, r *experiment.Resolved, asJSON bool) error {
	if asJSON {
		return report.JSON(w, r)
	}
	return r.Print(w)
}

// dryRun prints every value with its origin, the layouts of the prompts, the plan of the layers and the memory that
// calibration and distillation take. It reads the data, but no weights.
func dryRun(ctx context.Context, w io.Writer, e Experiment, resolved *experiment.Resolved, asJSON bool) error {
	source, err := e.source()
	if err != nil {
		return err
	}
	cfg, err := talker.ReadConfig(source)
	if err != nil {
		return err
	}
	m, err := talker.New(cfg)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(source, "config.json"), err)
	}
	plan, err := qat.NewPlan(m, e.Quant)
	if err != nil {
		return err
	}
	r := &Run{Experiment: e, source: source, Teacher: m}
	mixes, err := r.mixes()
	if err != nil {
		return err
	}
	calibration, err := r.CalibrationMemory(m, plan)
	if err != nil {
		return err
	}
	need, err := r.Memory(ctx, m, plan)
	if err != nil {
		return err
	}
	if asJSON {
		return report.JSON(w, struct {
			*experiment.Resolved
			Plan        *qat.Plan          `json:"plan"`
			Layouts     []Mixed            `json:"layouts"`
			Calibration *CalibrationMemory `json:"calibration_memory"`
			Memory      *Memory            `json:"memory"`
		}{resolved, plan, mixes, calibration, need})
	}
	if err := resolved.Print(w); err != nil {
		return err
	}
	return errors.Join(MixTable(mixes).Text(w), PlanTable(plan).Text(w), calibration.Table().Text(w), need.Table().Text(w))
}

// PlanTable lists what happens to each projection.
func PlanTable(plan *qat.Plan) *report.Table {
	t := &report.Table{
		Title:   "layers",
		Columns: []string{"layer", "out", "in", "weights", "activations", "params", "bf16", "packed", "note"},
	}
	for _, l := range plan.Layers {
		t.Add(l.Path, l.Out, l.In, l.Weight, l.Activation, l.Params, report.Bytes(l.BytesBefore), report.Bytes(l.BytesAfter), l.Note)
	}
	for _, l := range plan.Tables {
		t.Add(l.Path, l.Out, l.In, l.Weight, "embedding", l.Params, report.Bytes(l.BytesBefore), report.Bytes(l.BytesAfter), l.Note)
	}
	before, after := plan.Bytes()
	t.Add(fmt.Sprintf("all %d (%.4g bits per weight)", len(plan.Layers), plan.BitsPerWeight()), "", "", "", "",
		plan.Params(), report.Bytes(before), report.Bytes(after), "")
	for _, path := range plan.Kept {
		t.Add(path, "", "", "float", "", "", "", "", "not targeted")
	}
	for _, note := range plan.Notes {
		t.Add("note", "", "", "", "", "", "", "", note)
	}
	return t
}

// peakMiB is the largest resident size of this process so far.
func peakMiB() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("resource usage: %w", err)
	}
	return float64(u.Maxrss) * maxrssUnit / (1 << 20), nil
}
