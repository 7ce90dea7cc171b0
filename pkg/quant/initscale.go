package quant

import (
	"fmt"
	"math"
)

// ScaleMethod derives scales from a weight alone (doc.go, "Where scales come from").
type ScaleMethod int

// The methods; MinMax is the one of asymmetric schemes, the others are for symmetric ones.
const (
	AbsMax     ScaleMethod = iota // a / qmax
	AbsMaxHalf                    // a / (qmax + 1/2)
	SignedMax                     // a / (qmax + 1) if the value of largest magnitude is negative, else a / qmax
	MinMax                        // (hi - lo) / (qmax - qmin)
)

var scaleMethods = []string{"absmax", "absmax_half", "signed_max", "min_max"}

func (m ScaleMethod) String() string { return name(scaleMethods, int(m)) }

// MarshalText writes absmax, absmax_half, signed_max or min_max.
func (m ScaleMethod) MarshalText() ([]byte, error) {
	return marshal("scale method", scaleMethods, int(m))
}

// UnmarshalText reads what MarshalText writes; another word is an error that lists the choices.
func (m *ScaleMethod) UnmarshalText(b []byte) error {
	return unmarshal("scale method", scaleMethods, b, (*int)(m))
}

// InitQParams computes the parameters of the weight w [n, k] (row-major), each (row, group) on its own. A value that is
// not finite is an error, and so is a method that does not go with the scheme.
func InitQParams(w []float32, n, k int64, sch WeightScheme, m ScaleMethod) (QParams, error) {
	if sch.Symmetric == (m == MinMax) {
		return QParams{}, fmt.Errorf("quant: scale method %v with scheme %v", m, sch)
	}
	rows, groups, err := sch.ParamShape(n, k)
	if err != nil {
		return QParams{}, err
	}
	if err := CheckFinite(w, n, k); err != nil {
		return QParams{}, err
	}
	p := QParams{Rows: rows, Groups: groups, Scale: make([]float32, rows*groups)}
	if !sch.Symmetric {
		p.ZeroPoint = make([]int32, rows*groups)
	}
	width := int64(len(w)) / (rows * groups) // the weights of one (row, group) are consecutive in every granularity
	for i := range p.Scale {
		lo, hi := span(w[int64(i)*width : int64(i+1)*width])
		p.Scale[i] = RoundScale(rawScale(lo, hi, sch, m))
		if !sch.Symmetric {
			z := math.RoundToEven(float64(-lo / p.Scale[i]))
			p.ZeroPoint[i] = int32(min(max(z, float64(sch.QMin())), float64(sch.QMax())))
		}
	}
	return p, nil
}

// span is the smallest and the largest of the values and 0.
func span(w []float32) (lo, hi float32) {
	for _, v := range w {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

func rawScale(lo, hi float32, sch WeightScheme, m ScaleMethod) float32 {
	a, qmax := max(-lo, hi), float32(sch.QMax())
	switch m {
	case AbsMaxHalf:
		return a / (qmax + 0.5)
	case SignedMax:
		if -lo > hi {
			return a / (qmax + 1)
		}
	case MinMax:
		return (hi - lo) / (qmax - float32(sch.QMin()))
	}
	return a / qmax
}

// CheckFinite checks that w is a weight [n, k] of finite values and names the first that is not.
func CheckFinite(w []float32, n, k int64) error {
	if n < 1 || k < 1 || int64(len(w)) != n*k {
		return fmt.Errorf("quant: %d values for a weight [%d, %d]", len(w), n, k)
	}
	for i, v := range w {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("quant: weight [%d, %d] is %v", int64(i)/k, int64(i)%k, v)
		}
	}
	return nil
}
