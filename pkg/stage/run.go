package stage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// Entries of a run folder.
const (
	ExperimentFile = "experiment.toml"
	StudentDir     = "student"
	ResultFile     = "calibration.safetensors"
	CalibratedDir  = "calibrated"
	BlockwiseDir   = "blockwise"
	CheckpointsDir = "checkpoints"
	MetricsFile    = "metrics.jsonl"
	CacheDir       = "teacher" // what it said, where distill.cache keeps it
	DistilledDir   = "distilled"
	PackedDir      = "packed"
	SummaryFile    = "summary.json"
)

// Run is one experiment in one run folder. Close frees it.
type Run struct {
	Name       string // of the experiment
	Experiment Experiment
	Dir        string
	Log        io.Writer // progress and remarks for a person
	Teacher    *talker.Model
	Output     string // the entry that -out copies; "" for the program's usual one

	source string // the teacher's folder
	device gotch.Device
	// identity is the hash of the teacher's weights and configuration, "" until somebody asks.
	identity string
	// dismissed: of the teacher, only the heads are in memory.
	dismissed bool

	values []experiment.Value // of the experiment, with their origins
	resume bool
	began  time.Time
	lock   *fsx.Lock
	lists  map[demo.Split]data.List // the files of utterances; nil for the demo teacher
}

// Open claims the run folder for stages that make products (entries of the folder) and loads the teacher. A folder that
// holds one of them is an error unless resume is set; so is one that another experiment began.
func Open(e Experiment, resolved *experiment.Resolved, dir string, resume bool, products ...string) (*Run, error) {
	r, err := attach(e, dir)
	if err != nil {
		return nil, err
	}
	r.resume, r.values = resume, resolved.Values
	if r.lock, err = fsx.Claim(r.Dir, resume, products...); err != nil {
		return nil, err
	}
	if err := r.agree(resolved); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err := r.recall(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err := r.readData(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// attach sets up device, threads and the teacher's folder.
func attach(e Experiment, dir string) (*Run, error) {
	device, err := e.Setup()
	if err != nil {
		return nil, err
	}
	source, err := e.source()
	if err != nil {
		return nil, err
	}
	return &Run{Experiment: e, Dir: dir, Log: os.Stderr, source: source, device: device}, nil
}

// agree keeps the resolved experiment in the run folder, or compares it with the one that is there.
func (r *Run) agree(resolved *experiment.Resolved) error {
	text, err := resolved.TOML()
	if err != nil {
		return err
	}
	path := r.path(ExperimentFile)
	have, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fsx.WriteBytes(path, text)
	case err != nil:
		return err
	case string(have) != string(text) && !r.begun(): // a run that failed before its first result binds nobody
		return fsx.WriteBytes(path, text)
	case string(have) != string(text):
		return fmt.Errorf("%s: the run was begun with another experiment: %s (-run names another folder)", path, firstDifference(have, text))
	}
	return nil
}

// Close frees the teacher and leaves the run folder.
func (r *Run) Close() error {
	if r.Teacher != nil {
		r.Teacher.Close()
	}
	if r.lock != nil {
		return r.lock.Release()
	}
	return nil
}

// begun tells whether the folder holds anything that was made with its experiment.
func (r *Run) begun() bool {
	return slices.ContainsFunc([]string{StudentDir, ResultFile, CalibratedDir, BlockwiseDir, CheckpointsDir, DistilledDir, PackedDir}, r.has)
}

func (r *Run) path(entry string) string { return filepath.Join(r.Dir, entry) }

func (r *Run) has(entry string) bool {
	_, err := os.Stat(r.path(entry))
	return err == nil
}

// load reads a talker of any form, float, fake-quantized or packed.
func (r *Run) load(dir string) (*talker.Model, error) {
	dtype, err := r.Experiment.TensorType()
	if err != nil {
		return nil, err
	}
	return loadAs(dir, dtype, r.device)
}

func loadAs(dir string, dtype gotch.DType, device gotch.Device) (*talker.Model, error) {
	return talker.Load(dir, talker.Options{DType: dtype, Device: device, Swap: func(m *talker.Model, dir string) error {
		return qat.FromCheckpoint(m, dir)
	}})
}

// source is the teacher's folder.
func (e Experiment) source() (string, error) {
	if e.Model != "" {
		return e.Model, nil
	}
	dir, err := demo.TeacherDir()
	if err != nil || e.Teacher.Outliers == 0 {
		return dir, err
	}
	return Twin(dir, e.Teacher.Outliers)
}

// Setup selects device and threads of the tensor library; it comes before the first operation.
func (e Experiment) Setup() (gotch.Device, error) {
	threads := e.Threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	if err := tensor.SetThreads(threads); err != nil {
		return gotch.CPU, err
	}
	return tensor.Device(e.Device)
}

// TensorType is the dtype of parameters and activations.
func (e Experiment) TensorType() (gotch.DType, error) { return tensorType("dtype", e.DType) }

func tensorType(key, name string) (gotch.DType, error) {
	switch name {
	case "float32":
		return gotch.Float, nil
	case "bfloat16":
		return gotch.BFloat16, nil
	}
	return gotch.Invalid, fmt.Errorf("%s is %q, want float32 or bfloat16", key, name)
}

func (r *Run) logf(format string, args ...any) { fmt.Fprintf(r.Log, format+"\n", args...) }

// firstDifference tells the first line in which two resolved experiments differ.
func firstDifference(have, want []byte) string {
	a, b := strings.Split(string(have), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("it has %q, now it is %q", a[i], b[i])
		}
	}
	return fmt.Sprintf("it has %d lines, now there are %d", len(a), len(b))
}
