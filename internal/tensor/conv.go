package tensor

import (
	"slices"

	"github.com/sugarme/gotch/ts"
)

// Conv is the geometry of a convolution; a zero field means 1.
type Conv struct{ Stride, Dilation, Groups int64 }

func (o Conv) filled() Conv {
	return Conv{Stride: max(o.Stride, 1), Dilation: max(o.Dilation, 1), Groups: max(o.Groups, 1)}
}

// Conv1d maps x [B, in, T] by w [out, in/groups, k] and b [out], or nil, to [B, out, (T-(k-1)·dilation-1)/stride+1]. It
// does not pad; see Pad.
func (s *Scope) Conv1d(x, w, b *ts.Tensor, o Conv) *ts.Tensor {
	if b == nil {
		b = ts.None
	}
	s.admit("conv1d", x, w, b)
	o = o.filled()
	t, err := ts.Conv1d(x, w, b, []int64{o.Stride}, []int64{0}, []int64{o.Dilation}, o.Groups)
	return s.result("conv1d", t, err, x, w, b)
}

// ConvTranspose1d maps x [B, in, T] by w [in, out/groups, k] and b [out], or nil, to [B, out, (T-1)·stride+(k-1)·dilation+1].
func (s *Scope) ConvTranspose1d(x, w, b *ts.Tensor, o Conv) *ts.Tensor {
	if b == nil {
		b = ts.None
	}
	s.admit("conv_transpose1d", x, w, b)
	o = o.filled()
	t, err := ts.ConvTranspose1d(x, w, b, []int64{o.Stride}, []int64{0}, []int64{0}, o.Groups, []int64{o.Dilation})
	return s.result("conv_transpose1d", t, err, x, w, b)
}

// PadMode says what Pad puts beside a signal.
type PadMode string

const (
	PadZeros     PadMode = "constant"
	PadReflect   PadMode = "reflect"   // mirrors at the first and last sample, which are not repeated
	PadReplicate PadMode = "replicate" // repeats the first and last sample
)

// Pad puts left and right samples beside the last dimension of x [B, C, T].
func (s *Scope) Pad(x *ts.Tensor, mode PadMode, left, right int64) *ts.Tensor {
	s.admit("pad", x)
	if left < 0 || right < 0 {
		s.Fail("pad", "padding %d, %d, want no negative number (Narrow cuts)", left, right)
	}
	t, err := x.Pad([]int64{left, right}, string(mode), nil, false)
	return s.result("pad", t, err, x)
}

// LayerNorm is w · (x - mean)/√(variance + eps) + b over the last dimension; w and b are [width] or both nil.
func (s *Scope) LayerNorm(x, w, b *ts.Tensor, eps float64) *ts.Tensor {
	if w == nil && b == nil {
		w, b = ts.None, ts.None
	}
	s.admit("layer_norm", x, w, b)
	size := s.Shape(x)
	t, err := ts.LayerNorm(x, slices.Clone(size[len(size)-1:]), w, b, eps, false)
	return s.result("layer_norm", t, err, x, w, b)
}

// Rfft is the Fourier transform of the real x [..., n] along the last dimension: complex [..., n/2+1], not normalized.
// Abs is its magnitude.
func (s *Scope) Rfft(x *ts.Tensor) *ts.Tensor {
	s.admit("rfft", x)
	t, err := x.FftRfft(nil, -1, "backward", false)
	return s.result("rfft", t, err, x)
}
