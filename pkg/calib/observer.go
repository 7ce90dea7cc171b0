package calib

import (
	"fmt"
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch/ts"
)

// Observer watches activations and answers with the parameters of a static scale.
type Observer interface {
	// Observe takes one batch of activations of any shape. A value that is not finite is an error.
	Observe(x *ts.Tensor) error
	// QParams is one scale on the scale grid. No data is an error.
	QParams(a quant.ActivationScheme) (quant.QParams, error)
}

// NewObserver is an empty observer of the configured kind.
func NewObserver(cfg Config) (Observer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	switch cfg.Observer {
	case ObserveMovingAverage:
		return &MovingAverage{Constant: cfg.AveragingConstant}, nil
	case ObservePercentile:
		return &Percentile{P: cfg.Percentile, H: new(Histogram)}, nil
	case ObserveMSE:
		return &MSE{H: new(Histogram)}, nil
	case ObserveEntropy:
		return &Entropy{H: new(Histogram)}, nil
	}
	return new(MinMax), nil
}

// MinMax keeps the range of all values (Nagel et al. 2021, "A White Paper on Neural Network Quantization", §3.1).
type MinMax struct {
	Min, Max float32
	N        int64 // values seen
}

// Observe widens the range.
func (o *MinMax) Observe(x *ts.Tensor) error {
	v, err := finite(x)
	if err == nil {
		o.include(spanOf(v))
	}
	return err
}

func (o *MinMax) include(b span) {
	if o.N == 0 {
		o.Min, o.Max = b.lo, b.hi
	}
	if b.n > 0 {
		o.Min, o.Max, o.N = min(o.Min, b.lo), max(o.Max, b.hi), o.N+b.n
	}
}

// QParams is max |x| / qmax.
func (o *MinMax) QParams(a quant.ActivationScheme) (quant.QParams, error) {
	return static(float64(max(-o.Min, o.Max)), a, o.N)
}

// MovingAverage averages each batch's minimum and maximum: m += c * (batch's - m), from the first batch's own
// (Jacob et al. 2017, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", §3.1).
type MovingAverage struct {
	Constant float64 // c, 0 < c <= 1
	Min, Max float64
	N        int64 // batches seen
}

// Observe takes one batch into the averages; an empty one changes nothing.
func (o *MovingAverage) Observe(x *ts.Tensor) error {
	v, err := finite(x)
	if err == nil {
		o.include(spanOf(v))
	}
	return err
}

func (o *MovingAverage) include(b span) {
	if b.n == 0 {
		return
	}
	lo, hi := float64(b.lo), float64(b.hi)
	if o.N == 0 {
		o.Min, o.Max = lo, hi
	}
	o.Min += float64(o.Constant * (lo - o.Min))
	o.Max += float64(o.Constant * (hi - o.Max))
	o.N++
}

// QParams is the larger averaged magnitude over qmax.
func (o *MovingAverage) QParams(a quant.ActivationScheme) (quant.QParams, error) {
	return static(max(-o.Min, o.Max), a, o.N)
}

// Percentile clips what lies beyond a percentile of |x| (Wu et al. 2020, "Integer Quantization for Deep Learning Inference", calibration).
type Percentile struct {
	P float64 // in percent
	H *Histogram
}

// Observe counts the values.
func (o *Percentile) Observe(x *ts.Tensor) error { return o.H.observe(x) }

// QParams is the percentile over qmax.
func (o *Percentile) QParams(a quant.ActivationScheme) (quant.QParams, error) {
	return static(float64(o.H.AbsPercentile(o.P)), a, o.H.n)
}

// MSE looks for the clip range with the least squared error on the histogram (Nagel et al. 2021, §3.1).
type MSE struct{ H *Histogram }

// Observe counts the values.
func (o *MSE) Observe(x *ts.Tensor) error { return o.H.observe(x) }

// QParams tries max |x| / qmax and what lies up to five octaves below it, in steps of 1/16 octave.
func (o *MSE) QParams(a quant.ActivationScheme) (quant.QParams, error) {
	best, err := static(float64(o.H.absMax()), a, o.H.n)
	if err != nil {
		return quant.QParams{}, err
	}
	values, qmax := o.H.values(), a.QMax()
	top, least := float64(o.H.absMax())/float64(qmax), values.squaredError(best.Scale[0], qmax)
	for i := 1; i <= 5*16; i++ {
		s := quant.RoundScale(float32(top * math.Exp2(-float64(i)/16)))
		if e := values.squaredError(s, qmax); e < least {
			least, best.Scale[0] = e, s
		}
	}
	return best, nil
}

func (h *Histogram) observe(x *ts.Tensor) error {
	v, err := finite(x)
	if err == nil {
		h.Add(v)
	}
	return err
}

// static is one scale for magnitudes up to a.
func static(absMax float64, a quant.ActivationScheme, n int64) (quant.QParams, error) {
	if err := a.Validate(); err != nil {
		return quant.QParams{}, err
	}
	if a.Mode != quant.StaticTensor {
		return quant.QParams{}, fmt.Errorf("calib: activation mode %v has no static scale", a.Mode)
	}
	if n == 0 {
		return quant.QParams{}, fmt.Errorf("calib: no activations observed")
	}
	scale := quant.RoundScale(float32(absMax / float64(a.QMax())))
	return quant.QParams{Rows: 1, Groups: 1, Scale: []float32{scale}}, nil
}

// finite copies x's values and rejects NaN and infinities.
func finite(x *ts.Tensor) ([]float32, error) {
	v, err := tensor.Floats(x)
	if err != nil {
		return nil, err
	}
	return v, checkFinite(v)
}

func checkFinite(v []float32) error {
	for i, x := range v {
		if x-x != 0 {
			return fmt.Errorf("calib: activation %d of %d is %v, want finite values", i, len(v), x)
		}
	}
	return nil
}

// span is the range of n values; comparisons instead of min and max, which care for NaN, at a quarter of the time.
type span struct {
	lo, hi float32
	n      int64
}

func spanOf(v []float32) span {
	if len(v) == 0 {
		return span{}
	}
	s := span{v[0], v[0], int64(len(v))}
	for _, x := range v {
		if x < s.lo {
			s.lo = x
		}
		if x > s.hi {
			s.hi = x
		}
	}
	return s
}
