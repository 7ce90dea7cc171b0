package tensor

import (
	"math"
	"slices"
	"testing"

	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// ramp is 0.1, -0.2, 0.3, … in the given shape: values that tell every place apart.
func ramp(s *Scope, shape ...int64) *ts.Tensor {
	v := make([]float32, numel(shape))
	for i := range v {
		v[i] = float32(i+1) / 10 * float32(1-2*(i%2))
	}
	return s.FromFloats(v, shape...)
}

// naiveConv1d is the definition: each output is a sum over its group's channels and the taps.
func naiveConv1d(x, w, b []float32, in, out, T, k int, o Conv) []float64 {
	stride, dilation, groups := int(o.Stride), int(o.Dilation), int(o.Groups)
	n, per := (T-(k-1)*dilation-1)/stride+1, in/groups
	y := make([]float64, out*n)
	for c := range out {
		for i := range n {
			y[c*n+i] = float64(b[c])
			for p := range per {
				for j := range k {
					y[c*n+i] += float64(w[(c*per+p)*k+j]) * float64(x[(c/(out/groups)*per+p)*T+i*stride+j*dilation])
				}
			}
		}
	}
	return y
}

// naiveConvTranspose1d scatters each input over the outputs that it reaches.
func naiveConvTranspose1d(x, w, b []float32, in, out, T, k int, o Conv) []float64 {
	stride, dilation, groups := int(o.Stride), int(o.Dilation), int(o.Groups)
	n, per := (T-1)*stride+(k-1)*dilation+1, out/groups
	y := make([]float64, out*n)
	for i := range y {
		y[i] = float64(b[i/n])
	}
	for c := range in {
		for i := range T {
			for p := range per {
				for j := range k {
					y[(c/(in/groups)*per+p)*n+i*stride+j*dilation] += float64(x[c*T+i]) * float64(w[(c*per+p)*k+j])
				}
			}
		}
	}
	return y
}

func TestConvolutions(t *testing.T) {
	const in, out, T, k = 4, 6, 11, 3
	for _, o := range []Conv{{1, 1, 1}, {2, 1, 1}, {1, 3, 1}, {3, 2, 2}, {1, 1, 2}} {
		run(t, func(s *Scope) {
			x, b := ramp(s, 1, in, T), ramp(s, out)
			w, wt := ramp(s, out, in/o.Groups, k), ramp(s, in, out/o.Groups, k)
			for _, tt := range []struct {
				name string
				got  *ts.Tensor
				want []float64
			}{
				{"conv1d", s.Conv1d(x, w, b, o), naiveConv1d(floats(t, x), floats(t, w), floats(t, b), in, out, T, k, o)},
				{"conv_transpose1d", s.ConvTranspose1d(x, wt, b, o), naiveConvTranspose1d(floats(t, x), floats(t, wt), floats(t, b), in, out, T, k, o)},
			} {
				near := func(a float32, b float64) bool { return math.Abs(float64(a)-b) < 1e-4*(1+math.Abs(b)) }
				if got := floats(t, tt.got); !slices.EqualFunc(got, tt.want, near) {
					t.Errorf("%s with %+v is %v, want %v", tt.name, o, got, tt.want)
				}
			}
			if without := s.Conv1d(x, w, nil, o); !slices.Equal(floats(t, without), floats(t, s.Conv1d(x, w, s.Zeros(gotch.Float, out), o))) {
				t.Errorf("a nil bias is not zero with %+v", o)
			}
		})
	}
}

func TestPad(t *testing.T) {
	run(t, func(s *Scope) {
		for mode, want := range map[PadMode][]float32{
			PadZeros:     {0, 0, 1, 2, 3, 0},
			PadReflect:   {3, 2, 1, 2, 3, 2},
			PadReplicate: {1, 1, 1, 2, 3, 3},
		} {
			x := s.FromFloats([]float32{1, 2, 3}, 1, 1, 3)
			wantFloats(t, string(mode), s.Pad(x, mode, 2, 1), want...)
			wantFloats(t, string(mode)+" in bfloat16", s.Pad(s.To(x, gotch.BFloat16), mode, 2, 1), want...)
		}
	})
}

// The transform of a cosine is one line; of an impulse, a flat spectrum.
func TestRfft(t *testing.T) {
	run(t, func(s *Scope) {
		const n = 8
		v := make([]float32, 2*n)
		for i := range n {
			v[i] = float32(math.Cos(2 * math.Pi * 3 * float64(i) / n))
		}
		v[n] = 2
		magnitude := s.Abs(s.Rfft(s.FromFloats(v, 2, n)))
		if magnitude.DType() != gotch.Float {
			t.Errorf("the magnitude is %v, want Float", magnitude.DType())
		}
		near := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-5 }
		if got := floats(t, magnitude); !slices.EqualFunc(got, []float32{0, 0, 0, n / 2, 0, 2, 2, 2, 2, 2}, near) {
			t.Errorf("magnitudes are %v", got)
		}
	})
}

// What cannot be computed is one clear line.
func TestConvolutionMisuse(t *testing.T) {
	for name, f := range map[string]func(s *Scope){
		"conv1d": func(s *Scope) { s.Conv1d(s.Zeros(gotch.Float, 1, 3, 5), s.Zeros(gotch.Float, 2, 4, 3), nil, Conv{}) },
		"conv_transpose1d": func(s *Scope) {
			s.ConvTranspose1d(s.Zeros(gotch.Float, 1, 3, 5), s.Zeros(gotch.Float, 2, 4, 3), nil, Conv{})
		},
		"pad": func(s *Scope) { s.Pad(s.Zeros(gotch.Float, 1, 1, 2), PadReflect, 2, 0) },
		"layer_norm": func(s *Scope) {
			s.LayerNorm(s.Zeros(gotch.Float, 2, 3), s.Ones(gotch.Float, 2), s.Ones(gotch.Float, 2), 1e-5)
		},
	} {
		err := Run(func(s *Scope) error { f(s); return nil })
		wantError(t, name, err, name+"([")
	}
	err := Run(func(s *Scope) error { s.Pad(s.Zeros(gotch.Float, 1, 1, 2), PadZeros, -1, 0); return nil })
	wantError(t, "negative padding", err, "-1", "Narrow")
}
