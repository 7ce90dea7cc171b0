package inspect_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qakd/qakd/pkg/inspect"
)

// TestForward: every stage, in order, with its shape: 2 sequences of 11 + 6 - i and 4 - i frames, an end each.
func TestForward(t *testing.T) {
	f := look[*inspect.Forward](t, sharded, "forward", inspect.Options{})
	const T, N, events = 3 + 3 + 1 + 1 + 6 + 2 + 4 + 1, 7, 9
	if f.Sequences != 2 || f.Frames != N || f.DType != "F32" || f.Rows != T+1 { // dylan, the first, speaks a dialect: one row more
		t.Errorf("%d sequences, %d rows, %d frames, %s", f.Sequences, f.Rows, f.Frames, f.DType)
	}
	want := []struct {
		name  string
		shape []int64
	}{
		{"embedded rows", []int64{2, T + 1, 80}}, {"talker.model.layers.0", []int64{2, T + 1, 80}}, {"talker.model.layers.1", []int64{2, T + 1, 80}},
		{"hidden (normed)", []int64{2, T + 1, 80}}, {"logits of code 0", []int64{events, 1088}}, {"predictor rows", []int64{N, 4, 80}},
		{"talker.code_predictor.model.layers.0", []int64{N, 4, 64}}, {"talker.code_predictor.model.layers.1", []int64{N, 4, 64}},
		{"talker.code_predictor.model.layers.2", []int64{N, 4, 64}}, {"predictor states (normed)", []int64{N, 3, 64}},
		{"logits of code 1", []int64{N, 64}}, {"logits of code 2", []int64{N, 64}}, {"logits of code 3", []int64{N, 64}},
	}
	if len(f.Stages) != len(want) {
		t.Fatalf("%d stages, want %d", len(f.Stages), len(want))
	}
	for i, w := range want {
		s := f.Stages[i]
		if s.Name != w.name || !cmp.Equal(s.Shape, w.shape) || s.NotFinite != 0 || !(s.Std > 0 && s.AbsMax > s.Std && math.Abs(s.Mean) < s.Std) {
			t.Errorf("stage %d is %+v, want %v", i, s, w)
		}
	}
	if len(f.Codes) != 4 || f.Codes[0].Events != events || f.Codes[1].Events != N || len(f.Codes[0].First) != 3 {
		t.Errorf("%+v", f.Codes)
	}
	for _, c := range f.Codes {
		if c.NLL < 1 || c.NLL > 30 || c.First[0].P < c.First[1].P || c.Agreement < 0 || c.Agreement > 1 {
			t.Errorf("%+v", c)
		}
	}
	if f.SuppressedMass <= 0 || f.SuppressedMass >= 1 {
		t.Errorf("suppressed mass %v", f.SuppressedMass)
	}
	if again := look[*inspect.Forward](t, sharded, "forward", inspect.Options{}); !cmp.Equal(object(t, f), object(t, again)) {
		t.Error("a second look says something else")
	}
}

// TestForwardForms: cloned voices run too, and a packed checkpoint says what its student does, bit for bit.
func TestForwardForms(t *testing.T) {
	for _, dir := range []string{f32, bf16} {
		if f := look[*inspect.Forward](t, dir, "forward", inspect.Options{}); f.Codes[15].Events != 7 {
			t.Errorf("%s: %+v", dir, f.Codes)
		}
	}
	float, student, packed := forms(t)
	f, s, p := look[*inspect.Forward](t, float, "forward", inspect.Options{}), look[*inspect.Forward](t, student, "forward", inspect.Options{}), look[*inspect.Forward](t, packed, "forward", inspect.Options{})
	if !cmp.Equal(s.Stages, p.Stages) || !cmp.Equal(s.Codes, p.Codes) {
		t.Error("student and packed differ")
	}
	if !cmp.Equal(f.Stages[0], s.Stages[0]) || cmp.Equal(f.Codes, s.Codes) { // nothing is quantized before the blocks
		t.Errorf("float %+v, student %+v: want equal rows and different codes", f.Stages[0], s.Stages[0])
	}
}
