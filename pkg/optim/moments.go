package optim

import (
	"github.com/qakd/qakd/internal/native/adamw"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// MinCoded is the number of elements from which on a parameter's moments are kept in 8 bits, if the Config says so.
// Smaller ones (gains, biases, scales) weigh little and are the most sensitive.
const MinCoded = 4096

// moment is one of the two means of a parameter: float32 of its shape, or uint8 codes of its shape with the largest
// magnitude of each block of adamw.BlockSize values.
type moment struct {
	value   *ts.Tensor
	largest *ts.Tensor // float32 [blocks]; nil: value is float32
	kind    int        // adamw.Signed or adamw.Unsigned
}

// coded tells whether the moments of so many elements are kept as codes.
func (c Config) coded(elements int64) bool { return c.StateBits == 8 && elements >= MinCoded }

// newMoment is zero, on the device of like.
func newMoment(s *tensor.Scope, like *ts.Tensor, kind int, coded bool) moment {
	if !coded {
		return moment{value: s.Release(s.ZerosLike(like, gotch.Float)), kind: kind}
	}
	blocks := s.ToDevice(s.Zeros(gotch.Float, adamw.Blocks(elements(s.Shape(like)))), s.Device(like))
	return moment{value: s.Release(s.ZerosLike(like, gotch.Uint8)), largest: s.Release(blocks), kind: kind}
}

func (m moment) drop() {
	for _, t := range []*ts.Tensor{m.value, m.largest} {
		if t != nil {
			t.Drop()
		}
	}
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// StateBytes is what the optimizer keeps for parameters of these shapes and of a dtype, beside the parameters.
func (c Config) StateBytes(shapes [][]int64, dtype gotch.DType) int64 {
	sum := int64(0)
	for _, shape := range shapes {
		n := elements(shape)
		if c.coded(n) {
			sum += 2 * (n + 4*adamw.Blocks(n))
		} else {
			sum += 8 * n
		}
		if dtype != gotch.Float && c.Weights == Masters {
			sum += 4 * n
		}
	}
	return sum
}
