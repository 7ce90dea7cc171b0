package layerwise

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// walk opens one over three batches in dir.
func walk(t *testing.T, dir, identity string) *Walk {
	t.Helper()
	m, err := talker.Load("../talker/testdata/tiny-f32/checkpoint", talker.Options{})
	check(t, err)
	t.Cleanup(m.Close)
	var batches []*talker.Batch
	for k := range 3 {
		p, err := talker.DecodingRows(m.Config, talker.Request{ID: "a", Text: []int32{3, 9, int32(k)}, Voice: &talker.Voice{Vector: make([]float32, m.Config.Talker.Hidden)}})
		check(t, err)
		s, err := p.Complete(m.Config, [][]int32{make([]int32, m.Config.Groups()), make([]int32, m.Config.Groups())}[:1+k%2])
		check(t, err)
		b, err := talker.Collate([]talker.Sequence{s}, talker.PadRight)
		check(t, err)
		batches = append(batches, b)
	}
	w, err := Open(dir, identity, m, batches)
	check(t, err)
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// through takes all steps and counts them.
func through(ctx context.Context, w *Walk, i int) (n int, err error) {
	for s, err := range w.Steps(ctx, i) {
		if err == nil {
			err = nn.Run(s.Forward)
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// values are the tensors before part i.
func values(t *testing.T, w *Walk, i int) (out [][]float32) {
	t.Helper()
	in, err := w.Inputs(context.Background(), i)
	check(t, err)
	defer in.Close()
	for k := range w.Batches {
		x, err := in.At(k)
		check(t, err)
		v, err := tensor.Floats(x)
		check(t, err)
		x.Drop()
		out = append(out, v)
	}
	return out
}

// What lies before the code predictor's first block is what the whole model computes there, whether the walk gets there step
// by step, at once, or with a stop in between; and two points of the model are kept.
func TestWalk(t *testing.T) {
	ctx := context.Background()
	w := walk(t, filepath.Join(t.TempDir(), "w"), "x")
	last := slices.IndexFunc(w.Parts, func(p talker.Part) bool { return p.Block != nil && !p.Padded })
	var want [][]float32
	for _, b := range w.Batches {
		check(t, nn.Run(func(c *nn.Context) (err error) {
			nn.NoGrad(func() {
				h := w.Model.Forward(c, b)
				codes := c.FromInts(b.FrameCodes(), int64(len(b.Frame)), int64(w.Model.Config.Groups()))
				x := w.Model.Predictor.Adapt(c, w.Model.PredictorRows(c, w.Model.Pick(c, h, b.ConditionRows()), codes))
				var v []float32
				v, err = tensor.Floats(x)
				want = append(want, v)
			})
			return err
		}))
	}
	same := func(how string, w *Walk) {
		t.Helper()
		if got := values(t, w, last); !slices.EqualFunc(got, want, slices.Equal[[]float32]) {
			t.Errorf("%s: the walk has other tensors before part %d than the model", how, last)
		}
		if left, _ := filepath.Glob(filepath.Join(w.Dir, "*."+inputsName)); len(left) != 2 {
			t.Errorf("%s: %v are there, want two", how, left)
		}
	}
	same("at once", w)

	w = walk(t, filepath.Join(t.TempDir(), "w"), "x")
	for i := range last {
		for range 2 { // the second time nothing is written
			if n, err := through(ctx, w, i); err != nil || n != len(w.Batches) {
				t.Errorf("%d steps, %v, want %d", n, err, len(w.Batches))
			}
		}
	}
	same("step by step", w)

	dir := filepath.Join(t.TempDir(), "w")
	w = walk(t, dir, "x")
	_, err := through(ctx, w, 0)
	check(t, err)
	for s, err := range w.Steps(ctx, 1) {
		check(t, err)
		check(t, nn.Run(s.Forward))
		break
	}
	torn := filepath.Join(dir, ".002.inputs.tmp-1")
	check(t, os.Mkdir(torn, 0o755))
	w = walk(t, dir, "x")
	if _, err := os.Stat(torn); err == nil {
		t.Error("what was half written is left")
	}
	if w.reached(0) || !w.reached(1) || w.reached(2) {
		t.Error("a walk that was stopped within part 1 is not before it")
	}
	same("after a stop", w)
	if w = walk(t, dir, "y"); w.reached(last) {
		t.Error("a walk of another identity goes on with foreign tensors")
	}
}

// Bad files and visits are errors that say what is wrong.
func TestWalkRefuses(t *testing.T) {
	ctx := context.Background()
	if _, err := Open(t.TempDir(), "x", nil, nil); err == nil || !strings.Contains(err.Error(), "not one batch") {
		t.Errorf("error without data: %v", err)
	}
	w := walk(t, filepath.Join(t.TempDir(), "w"), "x")
	var err error
	for _, err = range w.Steps(ctx, 0) {
	}
	if err == nil || !strings.Contains(err.Error(), "0 batches went through, want 3") {
		t.Errorf("error of steps that are not taken: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := through(canceled, w, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error of a canceled run: %v", err)
	}
	_, err = through(ctx, w, 0)
	check(t, err)
	check(t, os.Truncate(filepath.Join(w.inputs(1), dataFile), 10))
	if _, err := through(ctx, w, 1); err == nil || !strings.Contains(err.Error(), "batch 0") || !strings.Contains(err.Error(), w.inputs(1)) {
		t.Errorf("error of a short file: %v", err)
	}
	if in, err := w.Inputs(ctx, 0); err != nil || in != nil {
		t.Errorf("inputs of the first part: %v, %v", in, err)
	}
	check(t, w.Clear("statistics"))
	if left, _ := filepath.Glob(filepath.Join(w.Dir, "*."+inputsName)); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}
