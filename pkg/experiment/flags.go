package experiment

import (
	"flag"
	"path/filepath"
)

// Flags are the flags that every example has; fill in defaults before Register.
type Flags struct {
	Config     string   // experiments file; "" for the search of Find
	Experiment string   // name in that file
	Set        []string // "key=value", in the order given
	Model      string   // checkpoint folder; "" for the experiment's
	Out        string   // where the result goes; "" for the run folder
	Run        string   // run folder; "" for runs/<experiment>
	Device     string   // auto, cpu, cuda:0; "" for the experiment's
	Resume     bool     // continue an occupied run folder
	DryRun     bool     // print the resolved experiment and stop
	JSON       bool     // the result as one JSON object on stdout
}

// Register adds the flags to fs; a program may add more of its own.
func (f *Flags) Register(fs *flag.FlagSet) {
	fs.StringVar(&f.Config, "config", f.Config, "experiments `file` (default ./"+DefaultFile+", else the built-in copy)")
	fs.StringVar(&f.Experiment, "experiment", f.Experiment, "`name` of the experiment")
	fs.Func("set", "override a value: `key=value` (repeatable)", func(s string) error {
		f.Set = append(f.Set, s)
		return nil
	})
	fs.StringVar(&f.Model, "model", f.Model, "checkpoint `folder` (default: the experiment's)")
	fs.StringVar(&f.Out, "out", f.Out, "`path` of the result (default: inside the run folder)")
	fs.StringVar(&f.Run, "run", f.Run, "run `folder` (default runs/<experiment>)")
	fs.StringVar(&f.Device, "device", f.Device, "`device`: auto, cpu, cuda:0 (default: the experiment's)")
	fs.BoolVar(&f.Resume, "resume", f.Resume, "continue what the run folder holds")
	fs.BoolVar(&f.DryRun, "dry-run", f.DryRun, "print every value and its origin, then stop")
	fs.BoolVar(&f.JSON, "json", f.JSON, "print the result as one JSON object on stdout")
}

// RunDir is the run folder: Run, else runs/<experiment>.
func (f *Flags) RunDir() string {
	if f.Run != "" {
		return f.Run
	}
	return filepath.Join("runs", f.Experiment)
}
