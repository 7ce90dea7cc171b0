package optim

import (
	"github.com/qakd/qakd/internal/native/adamw"
	"github.com/qakd/qakd/internal/shim"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// composite is the update in tensor operations, for devices whose memory the fused pass cannot reach.
func (st *state) composite(s *tensor.Scope, grad *ts.Tensor, n shim.AdamWStep) error {
	m, v := st.m.decoded(s), st.v.decoded(s)
	weight, master := st.param.T, st.master
	if st.stochastic {
		weight, grad = s.To(s.Detach(weight), gotch.Float), s.To(grad, gotch.Float)
	}
	if err := shim.AdamW(weight, grad, master, m, v, n); err != nil {
		return err
	}
	st.m.encode(s, m)
	st.v.encode(s, v)
	if st.stochastic {
		s.CopyInto(s.Detach(st.param.T), roundStochastically(s, weight, st.roundingKey()))
	}
	return nil
}

// decoded is the moment in float32: itself, or a copy.
func (m moment) decoded(s *tensor.Scope) *ts.Tensor {
	if m.largest == nil {
		return m.value
	}
	book := s.ToDevice(s.FromFloats(adamw.Codebook(m.kind), 256), s.Device(m.value))
	x := s.IndexSelect(book, 0, s.To(s.Reshape(m.value, -1), gotch.Int64))
	return s.Reshape(s.Mul(x, m.perElement(s, m.largest)), s.Shape(m.value)...)
}

// perElement repeats what each block has for each of its elements: [N].
func (m moment) perElement(s *tensor.Scope, blocks *ts.Tensor) *ts.Tensor {
	n := s.Shape(blocks)[0]
	x := s.Expand(s.Unsqueeze(blocks, 1), n, adamw.BlockSize)
	return s.Narrow(s.Reshape(x, -1), 0, 0, elements(s.Shape(m.value)))
}

// encode stores x [as the moment], what decoded gave in the first place.
func (m moment) encode(s *tensor.Scope, x *ts.Tensor) {
	if m.largest == nil {
		return
	}
	flat, blocks := s.Reshape(x, -1), s.Shape(m.largest)[0]
	n := s.Shape(flat)[0]
	if behind := blocks*adamw.BlockSize - n; behind > 0 {
		flat = s.Cat(0, flat, s.ToDevice(s.Zeros(gotch.Float, behind), s.Device(x)))
	}
	flat = s.Reshape(flat, blocks, adamw.BlockSize)
	largest := s.Amax(s.Abs(flat), true, 1)
	inverse := s.Must(s.Clamp(largest, 1e-38, 3.4e38).Reciprocal(false))
	bounds := s.ToDevice(s.FromFloats(adamw.Bounds(m.kind), 255), s.Device(x))
	codes := s.Must(s.Mul(flat, inverse).Bucketize(bounds, true, false, false))
	codes = s.To(s.MaskedFill(codes, s.EqScalar(largest, 0), 0), gotch.Uint8)
	s.CopyInto(m.value, s.Reshape(s.Narrow(s.Reshape(codes, -1), 0, 0, n), s.Shape(m.value)...))
	s.CopyInto(m.largest, s.Reshape(largest, -1))
}

// roundStochastically is w [float32] in bf16, by the hash of the fused pass: the same bits.
func roundStochastically(s *tensor.Scope, w *ts.Tensor, key uint64) *ts.Tensor {
	const low = 0xffffffff
	scalar := func(v int64) *ts.Scalar { return ts.IntScalar(v) }
	and := func(x *ts.Tensor, v int64) *ts.Tensor { return s.Must(x.BitwiseAnd(scalar(v), false)) }
	xorShift := func(x *ts.Tensor, by int64) *ts.Tensor {
		return s.Must(x.BitwiseXorTensor(s.Must(x.BitwiseRightShiftTensorScalar(scalar(by), false)), false))
	}
	plus := func(x *ts.Tensor, v int64) *ts.Tensor { return and(s.Must(x.AddScalar(scalar(v), false)), low) }
	times := func(x *ts.Tensor, v int64) *ts.Tensor { return and(s.Must(x.MulScalar(scalar(v), false)), low) }

	flat := s.Reshape(w, -1)
	h := s.ToDevice(s.Arange(gotch.Int64, s.Shape(flat)[0]), s.Device(w))
	h = plus(times(h, 0x9e3779b9), int64(key&low))
	h = times(xorShift(h, 16), 0x7feb352d)
	h = times(plus(xorShift(h, 15), int64(key>>32)), 0x846ca68b)
	noise := and(xorShift(h, 16), 0xffff)

	bits := s.To(s.Must(flat.ViewDtype(gotch.Int, false)), gotch.Int64)
	special := s.Must(and(bits, 0x7f800000).Eq(scalar(0x7f800000), false))
	bits = s.Add(bits, s.MaskedFill(noise, special, 0))
	bits = s.To(and(bits, 0xffff0000-1<<32), gotch.Int)
	rounded := s.Must(bits.ViewDtype(gotch.Float, false))
	return s.Reshape(s.To(s.Where(special, flat, rounded), gotch.BFloat16), s.Shape(w)...)
}
