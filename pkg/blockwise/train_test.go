package blockwise

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

func teacherOf(t *testing.T) *talker.Model {
	t.Helper()
	dir, err := demo.TeacherDir()
	check(t, err)
	m, err := talker.Load(dir, talker.Options{})
	check(t, err)
	t.Cleanup(m.Close)
	return m
}

// studentOf is the demo teacher in INT4 by rounding.
func studentOf(t *testing.T) *talker.Model {
	t.Helper()
	m := teacherOf(t)
	_, err := qat.Prepare(m, qat.DefaultConfig())
	check(t, err)
	return m
}

// batchesOf are n utterances of the demo, two in a batch.
func batchesOf(t *testing.T, m *talker.Model, n int) (out []*talker.Batch) {
	t.Helper()
	set, err := demo.New().Set(demo.Calibration, 1, n)
	check(t, err)
	for i := 0; i < n; i += 2 {
		var seqs []talker.Sequence
		for k := i; k < i+2; k++ {
			u, err := set.At(k)
			check(t, err)
			voice, err := m.Config.PresetVoice(u.Speaker)
			check(t, err)
			p, err := talker.DecodingRows(m.Config, talker.Request{ID: u.ID, Text: u.Text, Language: u.Language, Voice: &voice})
			check(t, err)
			seq, err := p.Complete(m.Config, u.Codes)
			check(t, err)
			seqs = append(seqs, seq)
		}
		batch, err := talker.Collate(seqs, talker.PadRight)
		check(t, err)
		out = append(out, batch)
	}
	return out
}

func settings() Config {
	c := DefaultConfig()
	c.Epochs, c.Optim.LR, c.Optim.ScaleLR = 2, 1e-4, 1e-4
	return c
}

// values are all of a model's parameters.
func values(t *testing.T, m nn.Module) (out []float32) {
	t.Helper()
	for _, p := range nn.Params(m) {
		v, err := tensor.Floats(p.T)
		check(t, err)
		out = append(out, v...)
	}
	return out
}

func silent(string, ...any) {}

// Every block of the demo comes closer to the float block; what is not in a block stays; each block takes as much memory as the
// one like it before, and nothing is left behind.
func TestBlocksComeCloser(t *testing.T) {
	teacher, student := teacherOf(t), studentOf(t)
	batches := batchesOf(t, teacher, 8)
	head := values(t, student.CodecHead)
	before := tensor.ResetHeld()
	var peaks []int64
	rows, err := Train(context.Background(), teacher, student, batches, t.TempDir(), "x", settings(), func(string, ...any) {
		_, peak := tensor.Held()
		peaks = append(peaks, peak-before)
		tensor.ResetHeld()
	})
	check(t, err)
	if n := len(student.Decoder.Blocks) + len(student.Predictor.Decoder.Blocks); len(rows) != n || len(peaks) != n {
		t.Fatalf("%d rows, %d reports, want %d", len(rows), len(peaks), n)
	}
	for i, r := range rows {
		t.Logf("%s: %.4g, was %.4g; %.1f MiB", r.Block, r.After, r.Before, float64(peaks[i])/(1<<20))
		if !(r.After < 0.98*r.Before) || r.Epoch == 0 {
			t.Errorf("%s: loss %g of epoch %d, was %g", r.Block, r.After, r.Epoch, r.Before)
		}
	}
	for _, pair := range [][2]int{{1, 2}, {3, 4}} {
		if a, b := float64(peaks[pair[0]]), float64(peaks[pair[1]]); math.Abs(a-b) > 0.05*a {
			t.Errorf("blocks %v take %g and %g bytes, want the same", pair, a, b)
		}
	}
	if now, _ := tensor.Held(); now > before+before/100 { // blocks of memory are cut differently
		t.Errorf("%d bytes are held afterwards, %d before", now, before)
	}
	if !slices.Equal(values(t, student.CodecHead), head) {
		t.Error("the head has changed, which is in no block")
	}
}

// A training that is stopped in the middle of blocks, with a fresh student each time, ends with the same numbers.
func TestGoesOn(t *testing.T) {
	teacher, whole := teacherOf(t), studentOf(t)
	batches, cfg := batchesOf(t, teacher, 4), settings()
	want, err := Train(context.Background(), teacher, whole, batches, t.TempDir(), "x", cfg, silent)
	check(t, err)
	dir := t.TempDir()
	done := map[string]int{}
	for stops := 0; ; stops++ {
		student := studentOf(t)
		rows, err := Train(testkit.NewFuse(16+stops%3), teacher, student, batches, dir, "x", cfg, func(format string, args ...any) {
			done[strings.SplitN(fmt.Sprintf(format, args...), " ", 3)[1]]++
		})
		if err == nil {
			if stops < 2 || !slices.Equal(rows, want) || !slices.Equal(values(t, student), values(t, whole)) {
				t.Errorf("after %d stops: rows %v, want %v, and the same parameters", stops, rows, want)
			}
			break
		}
		if !errors.Is(err, context.Canceled) || stops > 50 {
			t.Fatal(err)
		}
	}
	for block, n := range done {
		if n != 1 {
			t.Errorf("%s was trained to the end %d times", block, n)
		}
	}
}

// A rate that only does harm leaves the student as it was.
func TestKeepsTheBest(t *testing.T) {
	teacher, student := teacherOf(t), studentOf(t)
	cfg, before := settings(), values(t, student)
	cfg.Epochs, cfg.Optim.LR, cfg.Optim.ScaleLR = 1, 0.3, 0.3
	rows, err := Train(context.Background(), teacher, student, batchesOf(t, teacher, 2), t.TempDir(), "x", cfg, silent)
	check(t, err)
	for _, r := range rows {
		if r.Epoch != 0 || r.After != r.Before {
			t.Errorf("%s: epoch %d with loss %g is kept, %g before", r.Block, r.Epoch, r.After, r.Before)
		}
	}
	if !slices.Equal(values(t, student), before) {
		t.Error("the student has changed")
	}
}

// Bad settings and a loss that is not a number are errors that say what is wrong.
func TestRefuses(t *testing.T) {
	bad := settings()
	bad.Epochs, bad.Batch, bad.Optim.LossScale, bad.Optim.LR = -1, 0, 2, 0
	err := bad.Validate()
	for _, want := range []string{"epochs -1", "batch 0", "loss_scale 2", "lr is 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
	teacher, student := teacherOf(t), studentOf(t)
	cfg := settings()
	cfg.Optim.LR = 1e30
	if _, err := Train(context.Background(), teacher, student, batchesOf(t, teacher, 2), t.TempDir(), "x", cfg, silent); err == nil ||
		!strings.Contains(err.Error(), "talker.model.layers.0") {
		t.Errorf("error of a rate of 1e30: %v", err)
	}
	student.Decoder.Rotation = nn.Hadamard{Block: 256, Seed: 1}
	if _, err := Train(context.Background(), teacher, student, batchesOf(t, teacher, 2), t.TempDir(), "x", settings(), silent); err == nil ||
		!strings.Contains(err.Error(), "the residual stream of talker.model is turned by") {
		t.Errorf("error of a student that is turned: %v", err)
	}
}
