package stage_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/data"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/distill"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/talker"
)

// The outlier twin says what the teacher says, with gains that are far larger in a few channels.
func TestTwinIsTheTeacher(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	source, err := demo.TeacherDir()
	must(t, err)
	dir, err := stage.Twin(source, 30)
	must(t, err)
	again, err := stage.Twin(source, 30)
	must(t, err)
	if again != dir {
		t.Errorf("a second twin at %s, the first at %s", again, dir)
	}
	teacher, err := talker.Load(source, talker.Options{})
	must(t, err)
	defer teacher.Close()
	twin, err := talker.Load(dir, talker.Options{})
	must(t, err)
	defer twin.Close()
	set, err := demo.New().Set(demo.Evaluation, 1, 4)
	must(t, err)
	us := make(data.List, set.Len())
	for i := range us {
		us[i], err = set.At(i)
		must(t, err)
	}
	d, err := distill.Measure(context.Background(), teacher, twin, us, distill.DefaultMeasureConfig())
	must(t, err)
	if kl := d.NatsPerFrame(); kl > 1e-6 || slices.Min(d.Agreement) < 1 {
		t.Errorf("the twin is %g nats away, agreement %v", kl, d.Agreement)
	}
	larger := 0
	for i, b := range teacher.Decoder.Blocks {
		for _, n := range [][2]*nn.RMSNorm{{b.InputNorm, twin.Decoder.Blocks[i].InputNorm}, {b.PostNorm, twin.Decoder.Blocks[i].PostNorm}} {
			was, err := tensor.Floats(n[0].W.T)
			must(t, err)
			is, err := tensor.Floats(n[1].W.T)
			must(t, err)
			for k := range was {
				switch ratio := float64(is[k]) / float64(was[k]); {
				case math.Abs(ratio-30) < 1e-3:
					larger++
				case ratio != 1:
					t.Fatalf("block %d, channel %d: gain %v, was %v", i, k, is[k], was[k])
				}
			}
		}
	}
	if blocks := len(teacher.Decoder.Blocks); larger < 2*blocks || larger > 2*4*blocks {
		t.Errorf("%d gains are larger, want one to four in each of %d norms", larger, 2*blocks)
	}
}

// Methods side by side: those that know more lose less, and what they know survives the files: the student that the
// calibrate stage writes is the one that was compared.
func TestCompareMethods(t *testing.T) {
	dir, sets := t.TempDir(), append(slices.Clone(small), "calib.weight_method=gptq", "calib.fold=awq", "calib.fold_points=4")
	r, err := open(t, dir, false, sets)
	must(t, err)
	if _, err := r.Student(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Compare(context.Background(), []string{"nothing"}); err == nil || !strings.Contains(err.Error(), `method "nothing", want one of`) {
		t.Errorf("error of an unknown method: %v", err)
	}
	if _, err := r.Compare(context.Background(), []string{"rtn", "hqq"}); err == nil || !strings.Contains(err.Error(), "want an asymmetric one") {
		t.Errorf("error of a method that does not suit the scheme: %v", err)
	}
	c, err := r.Compare(context.Background(), []string{"rtn", "awq-gptq"})
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, stage.CompareFile)); err != nil {
		t.Error(err)
	}
	rtn, best := c.Rows[0], c.Rows[1]
	t.Logf("KL %.4g by rounding, %.4g by awq-gptq", rtn.KL, best.KL)
	if best.KL > 0.5*rtn.KL || best.Output < rtn.Output {
		t.Errorf("KL %g and outputs %g dB by awq-gptq, %g and %g by rounding", best.KL, best.Output, rtn.KL, rtn.Output)
	}
	if n := len(c.Tables()[0].Rows); n != 16 {
		t.Errorf("%d codebooks in the table, want 16", n)
	}
	res, err := r.Calibrate(context.Background())
	must(t, err)
	loaded, err := calib.Load(filepath.Join(dir, stage.ResultFile), calib.Origin{})
	must(t, err)
	if len(res.Codes) != len(res.Schemes) || len(res.Folds) == 0 || len(loaded.Codes) != len(res.Codes) {
		t.Errorf("%d codes of %d layers and %d folds, loaded %d", len(res.Codes), len(res.Schemes), len(res.Folds), len(loaded.Codes))
	}
	student, err := talker.Load(filepath.Join(dir, stage.CalibratedDir), talker.Options{
		Swap: func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) },
	})
	must(t, err)
	defer student.Close()
	held, err := demo.New().Set(demo.Evaluation, 1, 8)
	must(t, err)
	d, err := distill.Measure(context.Background(), r.Teacher, student, held, r.Experiment.Eval.Measure())
	must(t, err)
	if kl := d.NatsPerFrame(); math.Abs(kl-best.KL) > 1e-3*best.KL {
		t.Errorf("the student that was written has KL %g, the one that was compared %g", kl, best.KL)
	}
}

// Static scales of inputs whose channels are rescaled come from a second pass: with them, folds help as without, and the
// observers differ.
func TestCompareStaticObservers(t *testing.T) {
	r, err := open(t, t.TempDir(), false, append(slices.Clone(small), "quant.activation.mode=static_tensor", "teacher.outliers=30", "calib.fold_points=2", "eval.utterances=4"))
	must(t, err)
	if _, err := r.Student(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Compare(context.Background(), []string{"awq/most"}); err == nil || !strings.Contains(err.Error(), `observer "most", want one of min_max, moving_average`) {
		t.Errorf("error of an unknown observer: %v", err)
	}
	c, err := r.Compare(context.Background(), []string{"rtn/min_max", "awq/min_max", "awq/mse"})
	must(t, err)
	rounded, awq := c.Rows[0].KL, c.Rows[1:]
	for i, row := range awq {
		t.Logf("%s: KL %.4g", row.Method, row.KL)
		if row.KL > 0.8*rounded {
			t.Errorf("KL %g by %s, %g by rounding", row.KL, row.Method, rounded)
		}
		if i > 0 && row.KL == awq[0].KL {
			t.Errorf("KL %g by %s as by %s", row.KL, row.Method, awq[0].Method)
		}
	}
}
