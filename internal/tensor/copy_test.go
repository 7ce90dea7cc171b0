package tensor

import (
	"slices"
	"strings"
	"testing"

	"github.com/sugarme/gotch"
)

// A copy into a view lands in the tensor behind it, also where a graph is being recorded; thousands leak nothing.
func TestCopyInto(t *testing.T) {
	err := Run(func(s *Scope) error {
		x := s.Zeros(gotch.Float, 2, 4)
		v := s.FromFloats([]float32{1, 2}, 2, 1)
		if err := RequireGrad(v, true); err != nil {
			return err
		}
		for range 2000 {
			s.Nest(func(in *Scope) { in.CopyInto(in.Narrow(x, 1, 2, 1), v) })
		}
		got, err := Floats(x)
		if want := []float32{0, 0, 1, 0, 0, 0, 2, 0}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = Run(func(s *Scope) error {
		s.CopyInto(s.Zeros(gotch.Float, 2), s.Zeros(gotch.Float, 3))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "copy_into: Float [3] into Float [2], want the same shape and dtype") {
		t.Errorf("error %v, want both shapes", err)
	}
}
