package tensor

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

func TestDataThereAndBack(t *testing.T) {
	run(t, func(s *Scope) {
		v := []float32{1, -2.5, 3, float32(math.Inf(1)), 0, -7}
		x := s.FromFloats(v, 2, 3)
		wantFloats(t, "float32", x, v...)
		wantFloats(t, "a transposed view", s.Transpose(x, 0, 1), 1, float32(math.Inf(1)), -2.5, 0, 3, -7)
		wantFloats(t, "a part", s.Narrow(x, 1, 1, 2), -2.5, 3, 0, -7)
		wantFloats(t, "bf16 and back", s.To(x, gotch.BFloat16), v...)
		wantFloats(t, "f16 and back", s.To(x, gotch.Half), v...)
		wantFloats(t, "no elements", s.Zeros(gotch.Float, 0, 3))

		ids := []int64{math.MaxInt64, -1, 1 << 53}
		got, err := Ints(s.FromInts(ids, 3))
		must(t, err)
		if !slices.Equal(got, ids) {
			t.Errorf("int64 came back as %v, want %v", got, ids)
		}
		if got, err = Ints(s.FromBools([]bool{true, false}, 2)); err != nil || !slices.Equal(got, []int64{1, 0}) {
			t.Errorf("bools came back as %v, %v", got, err)
		}
		for name, scalar := range map[string]*ts.Tensor{
			"new": s.FromFloats([]float32{7}), "reshape": s.Reshape(s.FromFloats([]float32{7}, 1, 1)), "full": s.Full(gotch.Float, 7),
			"zeros like": s.AddScalar(s.ZerosLike(s.Ones(gotch.Int64), gotch.Float), 7),
		} {
			if n := len(s.Shape(scalar)); n != 0 {
				t.Errorf("%s: %d dimensions, want none", name, n)
			}
			wantFloats(t, name, scalar, 7)
		}
		for _, d := range []gotch.DType{gotch.Float, gotch.Double, gotch.BFloat16, gotch.Int64, gotch.Int, gotch.Uint8} {
			if n, err := Scalar(s.To(s.FromFloats([]float32{7}), d)); err != nil || n != 7 {
				t.Errorf("a scalar of dtype %v is %v, %v", d, n, err)
			}
		}
		b, err := Bytes(s.To(s.FromFloats([]float32{1, -2}, 2), gotch.BFloat16))
		must(t, err)
		if want := []byte{0x80, 0x3f, 0x00, 0xc0}; !slices.Equal(b, want) {
			t.Errorf("bytes of bf16 are %x, want %x", b, want)
		}
	})
}

func TestDataErrors(t *testing.T) {
	run(t, func(s *Scope) {
		for _, c := range []struct {
			name string
			err  error
			want string
		}{
			{"two elements", second(Scalar(s.Ones(gotch.Float, 2))), "scalar([2]): tensor [2] has 2 elements, want one"},
			{"nil", second(Floats(nil)), "is nil"},
			{"nil bytes", second(Bytes(nil)), "is nil"},
			{"complex bytes", second(Bytes(s.Zeros(gotch.ComplexFloat, 2))), "is not supported"},
			{"new of complex", second(New(gotch.ComplexFloat, []int64{1}, make([]byte, 8))), "is not supported"},
			{"new of invalid", second(New(gotch.Invalid, []int64{1}, nil)), "is not supported"},
			{"new too long", second(New(gotch.Int64, []int64{2}, make([]byte, 17))), "17 bytes for shape [2]"},
			{"new of negative", second(New(gotch.Int64, []int64{-2, -1}, make([]byte, 16))), "no negative size"},
		} {
			if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
				t.Errorf("%s: error %v, want it to say %q", c.name, c.err, c.want)
			}
		}
	})
}
