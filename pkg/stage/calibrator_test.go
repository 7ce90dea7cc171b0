package stage

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// begin opens a run of the demo with few utterances, of different lengths in one batch.
func begin(t *testing.T, sets ...string) *Run {
	t.Helper()
	e, resolved, err := Resolve(experiment.Flags{Experiment: "demo-w4a8", Set: append([]string{
		"threads=1", "calib.utterances=6", "calib.min_tokens=8", "calib.weight_method=gptq", "calib.grid_points=8", "eval.batch=4",
	}, sets...)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(e, resolved, t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	r.Log = new(bytes.Buffer)
	t.Cleanup(func() { r.Close() })
	return r
}

// streamed is the result file of a calibration part by part.
func streamed(r *Run, ctx context.Context) ([]byte, error) {
	us, err := r.utterances(demo.Calibration)
	if err != nil {
		return nil, err
	}
	from := calib.Origin{Model: "m", Data: "d"}
	res, err := r.fit(ctx, us, from)
	if err != nil {
		return nil, err
	}
	return saved(r, res, from)
}

func saved(r *Run, res *calib.Result, from calib.Origin) ([]byte, error) {
	if err := res.Save(r.path("saved"), from); err != nil {
		return nil, err
	}
	return os.ReadFile(r.path("saved"))
}

// whole is the same by one pass of the whole model over each batch, with the statistics of all layers at once.
func whole(t *testing.T, r *Run) []byte {
	t.Helper()
	m, cfg := r.Teacher, r.Experiment.Calib
	us, err := r.utterances(demo.Calibration)
	check(t, err)
	bs, err := collate(m.Config, us, r.Experiment.Eval.Batch)
	check(t, err)
	plan, err := qat.NewPlan(m, r.Experiment.Quant)
	check(t, err)
	var batches iter.Seq2[*talker.Batch, error] = func(yield func(*talker.Batch, error) bool) {
		for _, b := range bs {
			if !yield(b, nil) {
				return
			}
		}
	}
	stats, err := calib.Collect(context.Background(), plan.Slots(m), batches, func(p *calib.Pass, b *talker.Batch) error {
		c := p.Context
		x := m.Embed(c, b)
		p.Keep(b.Mask, b.B, b.T)
		hidden := m.Hidden(c, x, m.View(c, b), nil)
		p.KeepAll()
		m.CodecHead.Forward(c, m.Pick(c, hidden, b.TargetRows()))
		codes := c.FromInts(b.FrameCodes(), int64(len(b.Frame)), int64(m.Config.Groups()))
		m.CodeLogits(c, m.Predict(c, m.Pick(c, hidden, b.ConditionRows()), codes))
		return nil
	}, cfg)
	check(t, err)
	defer stats.Close()
	res, err := calib.Fit(stats, plan.Slots(m), plan.Scheme, cfg, folds(m)...)
	check(t, err)
	out, err := saved(r, res, calib.Origin{Model: "m", Data: "d"})
	check(t, err)
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Part by part gives what the whole model gives, to the bit: statistics (the report has them), scales, codes and folds.
func TestStreamedCalibrationIsWhole(t *testing.T) {
	for _, sets := range [][]string{
		{"calib.fold=awq", "calib.fold_points=3"},
		{"teacher.dtype=bfloat16", "calib.utterances=2", "quant.exclude=['talker.text_projection.**', 'talker.codec_head']"},
	} {
		r := begin(t, sets...)
		want := whole(t, r)
		got, err := streamed(r, context.Background())
		check(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%v: the result by parts differs from that of the whole model", sets)
		}
		left, err := filepath.Glob(filepath.Join(r.path(CalibrationDir), "*"))
		check(t, err)
		if slices.ContainsFunc(left, func(p string) bool { return !strings.HasSuffix(p, partStatistics) && !strings.HasSuffix(p, "identity") }) {
			t.Errorf("the folder holds %v, want statistics alone", left)
		}
	}
}

// A calibration that is interrupted again and again, between blocks and within them, leaves the same bytes, and takes no
// step twice but those of the block that it was in.
func TestStreamedCalibrationGoesOn(t *testing.T) {
	r := begin(t)
	want, err := streamed(r, context.Background())
	check(t, err)
	log := r.Log.(*bytes.Buffer)
	lines := strings.Count(log.String(), "statistics")
	r = begin(t)
	log = r.Log.(*bytes.Buffer)
	var got []byte
	stops := 0
	for ; got == nil && stops < 100; stops++ {
		if got, err = streamed(r, testkit.NewFuse(20+2*stops%7)); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if stops < 3 || !bytes.Equal(got, want) {
		t.Errorf("after %d stops the result differs from that of a run without", stops)
	}
	if n := strings.Count(log.String(), "statistics"); n != lines {
		t.Errorf("%d parts were reported in %d runs, want each of %d once:\n%s", n, stops, lines, log)
	}
}

// What is missing or bad is an error that names the layer and says what to do.
func TestStreamedCalibrationRefuses(t *testing.T) {
	for want, sets := range map[string][]string{
		"talker.model.layers.0.self_attn.q_proj (":                  {"calib.min_tokens=100000", "quant.exclude=['talker.text_projection.**']"},
		"lower calib.min_tokens":                                    {"calib.min_tokens=100000"},
		"is not positive definite with gptq.damp = 1e-30: raise it": {"calib.gptq.damp=1e-30", "calib.utterances=1"},
	} {
		if _, err := streamed(begin(t, sets...), context.Background()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "talker.") {
			t.Errorf("%v: error %v, want it to name a layer and say %q", sets, err, want)
		}
	}
}

// Results of parts are there until the whole is: a run that cannot write it, or is killed before it has removed them, loses
// nothing and leaves nothing.
func TestStreamedCalibrationEnds(t *testing.T) {
	r := begin(t, `quant.include=["talker.codec_head", "talker.code_predictor.lm_head.*"]`)
	if _, err := r.Student(); err != nil {
		t.Fatal(err)
	}
	us, err := r.utterances(demo.Calibration)
	check(t, err)
	from, err := r.origin(us)
	check(t, err)
	parts := func() int {
		left, err := filepath.Glob(filepath.Join(r.path(CalibrationDir), "*."+partResult))
		check(t, err)
		return len(left)
	}
	check(t, os.MkdirAll(filepath.Join(r.path(ResultFile), "in the way"), 0o755))
	if _, err := r.fit(context.Background(), us, from); err == nil {
		t.Fatal("a result was written over a folder")
	}
	if parts() == 0 {
		t.Error("the results of the parts are gone before the whole is there")
	}
	check(t, os.RemoveAll(r.path(ResultFile)))
	w, err := r.calibrator(us, from, r.Experiment.Calib)
	check(t, err)
	res, _, err := w.fit(context.Background(), r.Experiment.Calib, true)
	check(t, err)
	check(t, res.Save(r.path(ResultFile), from)) // and the run is killed
	if _, err := r.Calibrate(context.Background()); err != nil || parts() != 0 {
		t.Errorf("%d results of parts are left beside the whole (%v)", parts(), err)
	}
}

// Another rope_theta is another teacher: nothing that was found out about the one is the other's.
func TestTeacherIDKnowsTheConfiguration(t *testing.T) {
	r := begin(t)
	want, err := r.teacherID()
	check(t, err)
	dir := t.TempDir()
	check(t, os.CopyFS(dir, os.DirFS(r.source)))
	of := func() string {
		id, err := (&Run{source: dir}).teacherID()
		check(t, err)
		return id
	}
	if of() != want {
		t.Error("a copy is another teacher")
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	check(t, err)
	changed := regexp.MustCompile(`"rope_theta": *[0-9.]+`).ReplaceAll(text, []byte(`"rope_theta": 12345`))
	if bytes.Equal(changed, text) {
		t.Fatal("config.json has no rope_theta")
	}
	check(t, os.WriteFile(path, changed, 0o644))
	if of() == want {
		t.Error("with another rope_theta it is the same teacher")
	}
}
