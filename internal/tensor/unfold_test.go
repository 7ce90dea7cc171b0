package tensor

import (
	"slices"
	"testing"

	"github.com/sugarme/gotch"
)

func TestUnfold(t *testing.T) {
	run(t, func(s *Scope) {
		x := s.FromFloats([]float32{1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16}, 2, 6)
		y := s.Unfold(x, -1, 3, 2)
		got, err := Floats(y)
		if err != nil {
			t.Fatal(err)
		}
		if want := []float32{1, 2, 3, 3, 4, 5, 11, 12, 13, 13, 14, 15}; !slices.Equal(got, want) || !slices.Equal(s.Shape(y), []int64{2, 2, 3}) {
			t.Errorf("%v of shape %v, want %v", got, s.Shape(y), want)
		}
	})
	if err := Run(func(s *Scope) error { s.Unfold(s.Ones(gotch.Float, 2), -1, 3, 1); return nil }); err == nil {
		t.Error("a window larger than the dimension: no error")
	}
}
