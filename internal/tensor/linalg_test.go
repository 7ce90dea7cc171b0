package tensor_test

import (
	"math"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
)

func TestLinalg(t *testing.T) {
	err := tensor.Run(func(s *tensor.Scope) error {
		x := s.FromFloats([]float32{4, 2, 0, 2, 5, 2, 0, 2, 5}, 3, 3)
		l, at := s.Cholesky(x)
		got, err := tensor.Floats(l)
		if err != nil || at != 0 || !slices.Equal(got, []float32{2, 0, 0, 1, 2, 0, 0, 1, 2}) {
			t.Errorf("Cholesky factor %v, at %d (%v)", got, at, err)
		}
		y, err := tensor.Floats(s.SolveTriangular(l, s.FromFloats([]float32{2, 3, 5}, 3, 1), false))
		if want := []float32{1, 1, 2}; err != nil || !slices.Equal(y, want) {
			t.Errorf("solution %v, want %v (%v)", y, want, err)
		}
		f, err := tensor.Floats(s.Flip(s.FromFloats([]float32{1, 2, 3, 4}, 2, 2), 0, 1))
		if err != nil || !slices.Equal(f, []float32{4, 3, 2, 1}) {
			t.Errorf("flipped %v (%v)", f, err)
		}
		_, at = s.Cholesky(s.FromFloats([]float32{1, 2, 2, 1}, 2, 2))
		if at != 2 {
			t.Errorf("an indefinite matrix fails at %d, want 2", at)
		}
		_, at = s.Cholesky(s.FromFloats([]float32{float32(math.NaN())}, 1, 1))
		if at == 0 {
			t.Errorf("NaN is not positive definite")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
