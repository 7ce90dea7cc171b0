package stage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/experiment"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/stage"
	"github.com/qakd/qakd/pkg/talker"
)

// small settings of the demo: seconds instead of minutes.
var small = []string{
	"threads=1", "calib.utterances=8", "calib.min_tokens=8", "calib.grid_points=8", "train.steps=4", "train.eval_every=2",
	"train.checkpoint_every=2", "train.tokens_per_step=32", "train.micro_batch=2", "data.selection_size=4", "eval.utterances=8",
	"eval.batch=4", "eval.free_run=3", "eval.max_frames=12",
}

func open(t *testing.T, dir string, resume bool, sets []string, products ...string) (*stage.Run, error) {
	t.Helper()
	e, resolved, err := stage.Resolve(experiment.Flags{Experiment: "demo-w4a8", Set: sets})
	if err != nil {
		t.Fatal(err)
	}
	r, err := stage.Open(e, resolved, dir, resume, products...)
	if err == nil {
		r.Log = new(bytes.Buffer)
		t.Cleanup(func() { r.Close() })
	}
	return r, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// all stages of a run in one program, as examples/distill has them.
func all(t *testing.T, ctx context.Context, r *stage.Run) error {
	t.Helper()
	_, err := r.Student()
	must(t, err)
	_, err = r.Calibrate(context.Background())
	must(t, err)
	return r.Distill(ctx)
}

func same(t *testing.T, a, b string, entries ...string) {
	t.Helper()
	for _, e := range entries {
		x, err := os.ReadFile(filepath.Join(a, e))
		must(t, err)
		y, err := os.ReadFile(filepath.Join(b, e))
		must(t, err)
		if !bytes.Equal(x, y) {
			t.Errorf("%s differs between the runs", e)
		}
	}
}

// One program, one program per stage, and an interrupted run that goes on leave the same bytes.
func TestPipelineIsOne(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the pipeline three times")
	}
	ctx := context.Background()
	whole, staged, broken := t.TempDir(), t.TempDir(), t.TempDir()

	r, err := open(t, whole, false, small, stage.PackedDir)
	must(t, err)
	must(t, all(t, ctx, r))
	must(t, r.Convert())
	source, err := demo.TeacherDir()
	must(t, err)
	same(t, filepath.Join(whole, stage.PackedDir), source, "speech_tokenizer/model.safetensors", "speech_tokenizer/config.json")
	summary, err := r.Evaluate(ctx)
	must(t, err)
	must(t, r.Samples(ctx))
	must(t, r.Close())
	checkSamples(t, filepath.Join(whole, stage.SamplesDir))

	for _, step := range []func(r *stage.Run) error{
		func(r *stage.Run) error { _, err := r.Student(); return err },
		func(r *stage.Run) error { _, err := r.Calibrate(ctx); return err },
		func(r *stage.Run) error { return errors.Join(r.Distill(ctx), r.Convert()) },
	} {
		r, err := open(t, staged, true, small)
		must(t, err)
		must(t, step(r))
		must(t, r.Close())
	}
	packed := []string{"packed/model.safetensors", "packed/config.json", "calibration.safetensors", "distilled/model.safetensors"}
	same(t, whole, staged, packed...)

	canceled, cancel := context.WithCancel(ctx)
	cancel() // as Ctrl-C in the first step: it is finished and saved
	r, err = open(t, broken, false, small, stage.PackedDir)
	must(t, err)
	if err := all(t, canceled, r); !errors.Is(err, context.Canceled) || experiment.ExitCode(err) != experiment.ExitInterrupted {
		t.Fatalf("an interrupted run gives %v, want an interruption", err)
	}
	must(t, r.Close())
	r, err = open(t, broken, true, small)
	must(t, err)
	must(t, all(t, ctx, r))
	must(t, r.Convert())
	must(t, r.Close())
	same(t, whole, broken, packed...)

	checkSummary(t, summary)
	reloadsToTheBit(t, whole)
	refusals(t, whole)
}

// checkSamples: each row speaks, and no two say the same.
func checkSamples(t *testing.T, dir string) {
	t.Helper()
	seen := map[string]string{}
	for _, row := range []string{stage.RowTeacher, stage.RowINT4, stage.RowCalibrated, stage.RowDistilled} {
		clip, err := audio.Read(filepath.Join(dir, row+".wav"))
		must(t, err)
		loud := 0.0
		for _, v := range clip.Samples {
			loud = max(loud, math.Abs(float64(v)))
		}
		if clip.Rate != 24000 || clip.Duration().Seconds() < 1 || loud < 0.05 {
			t.Errorf("%s: %v at %d Hz, no louder than %.3f; want speech", row, clip.Duration(), clip.Rate, loud)
		}
		all := fmt.Sprint(clip.Samples)
		if other := seen[all]; other != "" {
			t.Errorf("%s and %s sound the same", row, other)
		}
		seen[all] = row
	}
}

func checkSummary(t *testing.T, s *stage.Summary) {
	t.Helper()
	names := []string{stage.RowTeacher, stage.RowINT8, stage.RowINT4, stage.RowCalibrated, stage.RowDistilled}
	for i, r := range s.Rows {
		if r.Name != names[i] || len(r.KLByCodebook) != 16 || r.Bytes == 0 {
			t.Errorf("row %d is %+v, want %s with 16 codebooks and a size", i, r, names[i])
		}
	}
	if s.Rows[0].KL != 0 || s.Rows[0].DurationRatio != 1 {
		t.Errorf("the teacher against itself: KL %v, duration %v", s.Rows[0].KL, s.Rows[0].DurationRatio)
	}
	if bits := s.Rows[0].BitsPerWeight; bits != 16 {
		t.Errorf("%v bits per weight of the teacher, want 16 (bf16)", bits)
	}
	if bits := s.Rows[4].BitsPerWeight; bits != 4.5 {
		t.Errorf("%v bits per weight, want 4.5 (INT4, groups of 32)", bits)
	}
	for i, v := range s.Speed {
		if v.Name != []string{stage.RowTeacher, stage.RowDistilled}[i] || v.FramesPerSecond <= 0 || strings.Contains(v.Decoder, "int4") != (i == 1) {
			t.Errorf("speed %d is %+v, want the teacher's, then the packed student's with kernels for INT4", i, v)
		}
	}
	if len(s.Speed) != 2 {
		t.Errorf("%d speeds, want two", len(s.Speed))
	}
	if s.Rows[1].KL >= s.Rows[2].KL {
		t.Errorf("INT8 loses %v, INT4 %v: want less", s.Rows[1].KL, s.Rows[2].KL)
	}
}

// A converted student in memory and the packed checkpoint that it is saved as compute the same logits, and that
// checkpoint is the run's.
func reloadsToTheBit(t *testing.T, dir string) {
	t.Helper()
	load := func(dir string) *talker.Model {
		m, err := talker.Load(dir, talker.Options{Swap: func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) }})
		must(t, err)
		t.Cleanup(m.Close)
		return m
	}
	source, err := demo.TeacherDir()
	must(t, err)
	m, again := load(filepath.Join(dir, stage.DistilledDir)), filepath.Join(t.TempDir(), "packed")
	must(t, qat.Convert(m))
	_, err = qat.SaveCheckpoint(again, m, qat.SaveOptions{Source: source})
	must(t, err)
	same(t, filepath.Join(dir, stage.PackedDir), again, "model.safetensors", "config.json")
	a, b := logits(t, m), logits(t, load(again))
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("logit %d is %v in memory and %v after reloading", i, a[i], b[i])
		}
	}
}

// logits of code 0 over a prompt of the built-in teacher.
func logits(t *testing.T, m *talker.Model) (out []float32) {
	t.Helper()
	p, err := talker.DecodingRows(m.Config, talker.Request{Text: demo.Text(3, 1, 4), Voice: &talker.Voice{ID: 1000}})
	must(t, err)
	b, err := talker.Collate([]talker.Sequence{p.Sequence}, talker.PadRight)
	must(t, err)
	must(t, nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() { out, err = tensor.Floats(m.CodecHead.Forward(c, m.Forward(c, b))) })
		return err
	}))
	return out
}

func refusals(t *testing.T, dir string) {
	t.Helper()
	if _, err := open(t, dir, false, small, stage.PackedDir); !errors.Is(err, fsx.ErrOccupied) || !strings.Contains(err.Error(), "-resume") {
		t.Errorf("an occupied folder gives %v", err)
	}
	if _, err := open(t, dir, true, append(small, "seed=2")); err == nil || !strings.Contains(err.Error(), "another experiment") {
		t.Errorf("another experiment in the folder gives %v", err)
	}
	r, err := open(t, t.TempDir(), false, small)
	must(t, err)
	for name, err := range map[string]error{"calibrate": r.Convert(), "distill": r.Distill(context.Background())} {
		if err == nil || !strings.Contains(err.Error(), "stage first") {
			t.Errorf("%s without what it needs gives %v", name, err)
		}
	}
}
