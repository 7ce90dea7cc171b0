package qat_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
)

func TestModesThatContradict(t *testing.T) {
	c := qat.DefaultConfig()
	c.DualLSQ, c.LearnScales, c.IntegerForward, c.Activation.Mode = true, false, true, 0
	err := c.Validate()
	for _, want := range []string{"dual_lsq without learn_scales", "integer_forward with activation mode none"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

// A student with two scales trains both, goes through a student folder, and is packed with the second alone: the packed
// model's logits are the student's, bit for bit.
func TestDualLSQ(t *testing.T) {
	dir := teacher(t, nil)
	c := qat.DefaultConfig()
	c.DualLSQ = true
	m := must(load(dir))(t)
	if _, err := qat.Prepare(m, c); err != nil {
		t.Fatal(err)
	}
	single := must(load(dir))(t)
	if _, err := qat.Prepare(single, qat.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "two scales that are equal", logits(t, m), logits(t, single))
	l := m.mlp.GateUp[0].P.(*qat.Linear)
	if !slices.Contains(nn.Params(m), l.Pre) || l.Pre.Frozen || !l.Pre.Scale {
		t.Fatalf("%s is no scale that trains", l.Pre.Name)
	}
	run(t, func(s *nn.Context) error {
		for _, p := range []*nn.Param{l.Pre, l.Scale} {
			if err := tensor.RequireGrad(p.T, true); err != nil {
				return err
			}
		}
		if err := tensor.Backward(s.Sum(m.forward(s, s.Randn(3, width)))); err != nil {
			return err
		}
		for _, p := range []*nn.Param{l.Pre, l.Scale} {
			if g := s.Gradient(p.T); g == nil || s.All(s.Eq(g, s.MulScalar(g, 0))) {
				t.Errorf("%s has no gradient", p.Name)
			}
		}
		moved := s.MulScalar(s.Detach(l.Pre.T), 0.7)
		l.Pre.Set(s.Release(moved))
		return nil
	})
	want := logits(t, m)
	if slices.Equal(want, logits(t, single)) {
		t.Fatal("the scale that quantizes changes nothing")
	}
	student := filepath.Join(t.TempDir(), "student")
	if err := qat.SaveStudent(student, m, qat.SaveOptions{Source: dir}); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "reloaded student", logits(t, must(load(student))(t)), want)
	if err := qat.Convert(m); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "converted", logits(t, m), want)
	packed := filepath.Join(t.TempDir(), "packed")
	if _, err := qat.SaveCheckpoint(packed, m, qat.SaveOptions{Source: dir}); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "packed", logits(t, must(load(packed))(t)), want)
	if f := must(qat.Describe(packed))(t); len(f.Layers) != 4 {
		t.Errorf("%d packed layers, want 4", len(f.Layers))
	}
}

// The integer forward pass stays with the student, equals the float one within rounding, and is not part of what is
// packed.
func TestIntegerForward(t *testing.T) {
	dir := teacher(t, nil)
	c := qat.DefaultConfig()
	m := must(load(dir))(t)
	if _, err := qat.Prepare(m, c); err != nil {
		t.Fatal(err)
	}
	float := logits(t, m)
	c.IntegerForward, c.BF16Backward = true, true
	m = must(load(dir))(t)
	if _, err := qat.Prepare(m, c); err != nil {
		t.Fatal(err)
	}
	integer, top := logits(t, m), float32(0)
	for _, v := range float {
		top = max(top, v, -v)
	}
	if slices.Equal(integer, float) {
		t.Error("the products are not those of codes")
	}
	for i := range float {
		// a rounding of the first layers may move a code of the next
		if d := integer[i] - float[i]; max(d, -d) > 0.02*top {
			t.Errorf("logit %d: %v, float %v", i, integer[i], float[i])
		}
	}
	student := filepath.Join(t.TempDir(), "student")
	if err := qat.SaveStudent(student, m, qat.SaveOptions{Source: dir}); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "reloaded student", logits(t, must(load(student))(t)), integer)
	if err := qat.Convert(m); err != nil {
		t.Fatal(err)
	}
	sameBits(t, "converted", logits(t, m), float)
}
