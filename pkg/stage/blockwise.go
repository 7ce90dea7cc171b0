package stage

import (
	"context"
	"fmt"
	"os"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/blockwise"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/qat"
)

// Entries of the run folder that block-wise training makes besides BlockwiseDir.
const (
	BlockwiseFile = "blockwise.json" // loss of each block, before and after
	blocksDir     = "blocks"         // where it stands, until it is done
)

// start is the student that distillation goes on from, and the stage that makes it.
func (r *Run) start() (entry, stage string) {
	if r.Experiment.Blockwise.Epochs > 0 {
		return BlockwiseDir, "blockwise"
	}
	return CalibratedDir, "calibrate"
}

// Blockwise trains the calibrated student block by block on the calibration data, and writes <run>/blockwise and
// <run>/blockwise.json; with blockwise.epochs = 0 it does nothing. An interrupted run goes on at its block.
func (r *Run) Blockwise(ctx context.Context) error {
	if r.Experiment.Blockwise.Epochs == 0 {
		return nil
	}
	if r.has(BlockwiseDir) {
		r.logf("blockwise: %s is there", r.path(BlockwiseDir))
		return os.RemoveAll(r.path(blocksDir)) // of a run that was killed before it came to that
	}
	if !r.has(CalibratedDir) {
		return fmt.Errorf("%s is not there: run the calibrate stage first", r.path(CalibratedDir))
	}
	us, err := r.utterances(demo.Calibration)
	if err != nil {
		return err
	}
	from, err := r.origin(us)
	if err != nil {
		return err
	}
	calibrated, err := fsx.SHA256(r.path(CalibratedDir + "/model.safetensors"))
	if err != nil {
		return err
	}
	cfg := r.Experiment.Blockwise
	cfg.Optim.Seed = r.Experiment.Seed
	batches, err := collate(r.Teacher.Config, us, cfg.Batch)
	if err != nil {
		return err
	}
	student, err := r.load(r.path(CalibratedDir))
	if err != nil {
		return err
	}
	defer student.Close()
	teacher := r.Teacher
	if rotates(r.Experiment.Calib) {
		if teacher, err = r.turned(r.Experiment.Calib); err != nil {
			return err
		}
		defer teacher.Close()
	}
	identity := fmt.Sprintf("model %s\ndata %s\nstudent %s\nconfig %+v\n", from.Model, from.Data, calibrated, cfg)
	rows, err := blockwise.Train(ctx, teacher, student, batches, r.path(blocksDir), identity, cfg, r.logf)
	if err != nil {
		return err
	}
	if err := writeJSON(r.path(BlockwiseFile), rows); err != nil {
		return err
	}
	if err := qat.SaveStudent(r.path(BlockwiseDir), student, qat.SaveOptions{Source: r.source}); err != nil {
		return err
	}
	return os.RemoveAll(r.path(blocksDir))
}
