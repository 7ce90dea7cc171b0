package testkit

import (
	"encoding/binary"
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// doubles are x's values.
func doubles(s *tensor.Scope, x *ts.Tensor) ([]float64, error) {
	b, err := tensor.Bytes(s.To(s.Detach(x), gotch.Double))
	out := make([]float64, len(b)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out, err
}

// double is a float64 tensor of v, owned by s.
func double(s *tensor.Scope, v []float64, shape []int64) (*ts.Tensor, error) {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	t, err := tensor.New(gotch.Double, shape, b)
	return s.Own(t), err
}
