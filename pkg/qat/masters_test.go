package qat_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/sugarme/gotch"
)

// bf16 masters: the teacher's own tensors move, gradients take their dtype, and student and packed folders hold the model.
func TestHalfMasters(t *testing.T) {
	dir := teacher(t, nil)
	cfg := qat.DefaultConfig()
	cfg.Masters = "bfloat16"
	m := must(load(dir))(t)
	must(qat.Prepare(m, cfg))(t)
	x := make([]float32, 3*width)
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	run(t, func(c *nn.Context) error {
		if err := tensor.Backward(c.Sum(c.Square(m.forward(c, c.FromFloats(x, 3, width))))); err != nil {
			return err
		}
		for _, s := range nn.Slots(m) {
			l := s.P.(*qat.Linear)
			if d, g := l.W.T.DType(), c.Gradient(l.W.T).DType(); d != gotch.BFloat16 || g != gotch.BFloat16 {
				t.Errorf("%s: master of dtype %v with a gradient of %v, want BFloat16", s.Path, d, g)
			}
			if d, g := l.Scale.T.DType(), c.Gradient(l.Scale.T).DType(); d != gotch.Float || g != gotch.Float {
				t.Errorf("%s: scales of dtype %v with a gradient of %v, want Float", s.Path, d, g)
			}
		}
		return nil
	})
	want := logits(t, m)
	student, packed := filepath.Join(t.TempDir(), "student"), filepath.Join(t.TempDir(), "packed")
	if err := qat.SaveStudent(student, m, qat.SaveOptions{Source: dir}); err != nil {
		t.Fatal(err)
	}
	again := must(load(student))(t)
	sameBits(t, "the student's folder", logits(t, again), want)
	if d := again.head.P.(*qat.Linear).W.T.DType(); d != gotch.BFloat16 {
		t.Errorf("the student's folder gives masters of %v, want BFloat16", d)
	}
	must(qat.SaveCheckpoint(packed, again, qat.SaveOptions{Source: dir}))(t)

	scheme := filepath.Join(student, "qat.json")
	text := string(must(os.ReadFile(scheme))(t))
	if err := os.WriteFile(scheme, []byte(strings.Replace(text, `"masters": "BF16"`, `"masters": "F64"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := load(student); err == nil || !strings.Contains(err.Error(), `"F64", want F32 or BF16`) {
		t.Errorf("error %v", err)
	}
	cfg.Masters = "half"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), `masters "half", want float32 or bfloat16`) {
		t.Errorf("error %v", err)
	}
}
