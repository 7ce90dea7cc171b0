package stage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/blockwise"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/eval"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/sensitivity"
	"github.com/qakd/qakd/pkg/train"
)

// Experiment is everything that decides the outcome of a run. experiments.toml maps onto it.
type Experiment struct {
	Seed    int64  `toml:"seed"`    // of data, training and sampling
	Model   string `toml:"model"`   // the teacher's checkpoint folder; "" for the built-in demo teacher
	DType   string `toml:"dtype"`   // of parameters and activations: float32 or bfloat16 (quant.masters are those of trained weights)
	Device  string `toml:"device"`  // auto, cpu, cuda:0
	Threads int    `toml:"threads"` // of the tensor library; 0: one per core

	Teacher Teacher      `toml:"teacher"`
	Data    Data         `toml:"data"`
	Quant   qat.Config   `toml:"quant"`
	Calib   calib.Config `toml:"calib"`
	Train   train.Config `toml:"train"`
	// Blockwise trains the calibrated student block by block before it is distilled, on the calibration data; epochs 0: not.
	Blockwise blockwise.Config `toml:"blockwise"`
	Distill   distill.Config   `toml:"distill"`
	Eval      eval.Config      `toml:"eval"`

	Sensitivity sensitivity.Config `toml:"sensitivity"` // of mixed precision
}

// Default is what an experiment starts from.
func Default() Experiment {
	return Experiment{
		Seed: 1, DType: "float32", Device: "auto",
		Data: DefaultData(), Quant: qat.DefaultConfig(), Calib: calib.DefaultConfig(), Train: train.DefaultConfig(),
		Blockwise: blockwise.DefaultConfig(), Distill: distill.DefaultConfig(), Eval: eval.DefaultConfig(), Sensitivity: sensitivity.DefaultConfig(),
	}
}

// Validate reports all violations of all sections.
func (e Experiment) Validate() error {
	var errs []error
	section := func(name string, err error) {
		for _, e := range violations(err) {
			errs = append(errs, fmt.Errorf("%s: %s", name, strings.TrimPrefix(strings.TrimPrefix(e.Error(), "qat: "), "quant: ")))
		}
	}
	if _, err := e.TensorType(); err != nil {
		errs = append(errs, err)
	}
	if _, err := e.TeacherType(); err != nil {
		errs = append(errs, err)
	}
	if e.Threads < 0 {
		errs = append(errs, fmt.Errorf("threads is %d, want 0 (one per core) or more", e.Threads))
	}
	if o := e.Teacher.Outliers; o < 0 || o != 0 && e.Model != "" {
		errs = append(errs, fmt.Errorf("teacher.outliers is %g with model %q, want 0, or more for the demo teacher only", o, e.Model))
	}
	section("data", e.Data.validate(e.Model))
	section("quant", e.Quant.Validate())
	section("calib", e.Calib.Validate())
	section("train", e.Train.Validate())
	section("blockwise", e.Blockwise.Validate())
	section("distill", e.Distill.Validate())
	section("eval", e.Eval.Validate())
	section("sensitivity", e.Sensitivity.Validate())
	return errors.Join(errs...)
}

// violations takes apart what errors.Join put together, so that each line names its section.
func violations(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, violations(e)...)
	}
	return out
}
