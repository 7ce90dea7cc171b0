package stage_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/stage"
)

// Block-wise training is a stage of its own between calibration and distillation: stopped and gone on with in another program
// it leaves the same student, from which distillation starts.
func TestBlockwiseIsAStage(t *testing.T) {
	ctx := context.Background()
	sets := append(slices.Clone(small), "blockwise.epochs=1", "blockwise.optim.lr=1e-4", "calib.weight_method=absmax_half")
	whole, broken := t.TempDir(), t.TempDir()
	r, err := open(t, whole, false, sets)
	must(t, err)
	if err := r.Blockwise(ctx); err == nil || !strings.Contains(err.Error(), "calibrate stage first") {
		t.Errorf("error without a calibrated student: %v", err)
	}
	begin := func(r *stage.Run) {
		t.Helper()
		_, err := r.Student()
		must(t, err)
		_, err = r.Calibrate(ctx)
		must(t, err)
	}
	begin(r)
	if err := r.Distill(ctx); err == nil || !strings.Contains(err.Error(), "blockwise stage first") {
		t.Errorf("error of distilling without the stage before: %v", err)
	}
	must(t, r.Blockwise(ctx))

	b, err := open(t, broken, false, sets)
	must(t, err)
	begin(b)
	stopped, cancel := context.WithCancel(ctx)
	b.Log = stopper{cancel}
	if err := b.Blockwise(stopped); !errors.Is(err, context.Canceled) {
		t.Fatalf("a training that is stopped gives %v", err)
	}
	must(t, b.Close())
	b, err = open(t, broken, true, sets)
	must(t, err)
	must(t, b.Blockwise(ctx))
	must(t, os.MkdirAll(filepath.Join(broken, "blocks/000.inputs"), 0o755)) // as a run leaves it that is killed right behind its result
	must(t, b.Blockwise(ctx))
	same(t, whole, broken, "blockwise/model.safetensors", stage.BlockwiseFile)
	if left, _ := filepath.Glob(filepath.Join(broken, "blocks*")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	a, err := os.ReadFile(filepath.Join(whole, "calibrated/model.safetensors"))
	must(t, err)
	c, err := os.ReadFile(filepath.Join(whole, "blockwise/model.safetensors"))
	must(t, err)
	if slices.Equal(a, c) {
		t.Error("the trained student is the calibrated one")
	}
}

// stopper cancels at the first line about a block that is trained.
type stopper struct{ cancel context.CancelFunc }

func (s stopper) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "talker.model.layers.0: loss") {
		s.cancel()
	}
	return len(b), nil
}
