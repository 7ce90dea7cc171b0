package calib

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/qakd/qakd/pkg/quant"
)

// search finds the scales (and zero points) of one weight [n, k] with the least weighted squared error, each
// (row, group) on its own.
type search struct {
	w    []float32 // [n, k]
	h    []float64 // [k], the weight of each column's errors
	k    int64
	sch  quant.WeightScheme
	cfg  Config
	grid []float64 // clip ranges, largest first
}

// bestQParams runs the search on all CPUs; the result does not depend on their number.
func bestQParams(w []float32, h []float64, n, k int64, sch quant.WeightScheme, cfg Config) (quant.QParams, error) {
	rules, err := rulesOf(w, n, k, sch)
	if err != nil {
		return quant.QParams{}, err
	}
	s := &search{w: w, h: h, k: k, sch: sch, cfg: cfg}
	for i := range cfg.GridPoints {
		s.grid = append(s.grid, cfg.GridMax+(cfg.GridMin-cfg.GridMax)*float64(i)/float64(cfg.GridPoints-1))
	}
	best := quant.QParams{Rows: rules[0].Rows, Groups: rules[0].Groups, Scale: make([]float32, len(rules[0].Scale))}
	if !sch.Symmetric {
		best.ZeroPoint = make([]int32, len(best.Scale))
	}
	parallel(len(best.Scale), 256, func(from, to int) {
		for i := from; i < to; i++ {
			scale, zero := s.unit(i, len(best.Scale), rules)
			best.Scale[i] = scale
			if !sch.Symmetric {
				best.ZeroPoint[i] = zero
			}
		}
	})
	return best, nil
}

// rulesOf are the parameters by every fixed rule that goes with the scheme.
func rulesOf(w []float32, n, k int64, sch quant.WeightScheme) ([]quant.QParams, error) {
	methods := []quant.ScaleMethod{quant.SignedMax, quant.AbsMaxHalf, quant.AbsMax}
	if !sch.Symmetric {
		methods = []quant.ScaleMethod{quant.MinMax}
	}
	var out []quant.QParams
	for _, m := range methods {
		p, err := quant.InitQParams(w, n, k, sch, m)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// unit finds the parameters of the i-th of n (row, group)s, whose weights are consecutive in every granularity.
func (s *search) unit(i, n int, rules []quant.QParams) (scale float32, zero int32) {
	width := len(s.w) / n
	w := s.w[i*width : (i+1)*width]
	t := trial{w: w, h: s.h[i*width%int(s.k):], qmin: s.sch.QMin(), qmax: s.sch.QMax(), least: math.Inf(1)}
	t.h = t.h[:min(width, len(t.h))]
	t.span()
	for _, r := range rules {
		t.try(r.Scale[i], zeroOf(r, i))
	}
	last := float32(0)
	for _, f := range s.grid {
		scale := quant.RoundScale(float32(f * s.full(t.lo, t.hi)))
		if scale == last { // neighbors that round to one point of the scale grid
			continue
		}
		last = scale
		if s.clipping(&t, float64(scale)) >= t.least*(1+1e-6) {
			break // smaller scales clip more
		}
		if s.sch.Symmetric {
			t.try(scale, 0)
		} else {
			t.tryZeros(scale)
		}
	}
	return t.scale, t.zero
}

// full is the scale at which lo...hi just fits.
func (s *search) full(lo, hi float32) float64 {
	if s.sch.Symmetric {
		return float64(max(-lo, hi)) / float64(s.sch.QMax())
	}
	return (float64(hi) - float64(lo)) / float64(s.sch.QMax())
}

// clipping is a lower bound of the error at this scale: what the two extreme weights alone lose.
func (s *search) clipping(t *trial, scale float64) float64 {
	over := func(x float64, codes int32) float64 { return max(0, x-scale*float64(codes)) }
	hi, lo := float64(t.hi), -float64(t.lo)
	if s.sch.Symmetric {
		p, n := over(hi, t.qmax), over(lo, -t.qmin)
		return t.hHi*p*p + t.hLo*n*n
	}
	// The zero point splits the excess e into x and e-x; h x^2 + g (e-x)^2 is least at e^2 h g / (h + g).
	e := over(hi+lo, t.qmax)
	return e * e * t.hHi * t.hLo / max(t.hHi+t.hLo, math.SmallestNonzeroFloat64)
}

func zeroOf(p quant.QParams, i int) int32 {
	if p.ZeroPoint == nil {
		return 0
	}
	return p.ZeroPoint[i]
}

// trial keeps the best parameters so far of the weights w; column j counts h[j modulo len(h)].
type trial struct {
	w          []float32
	h          []float64
	qmin, qmax int32
	least      float64
	scale      float32
	zero       int32
	lo, hi     float32 // the smallest and the largest of the weights and 0
	hLo, hHi   float64 // what their errors count; 0 where it is 0
}

func (t *trial) span() {
	for i, v := range t.w {
		if v > t.hi {
			t.hi, t.hHi = v, t.h[i%len(t.h)]
		}
		if v < t.lo {
			t.lo, t.hLo = v, t.h[i%len(t.h)]
		}
	}
}

func (t *trial) try(scale float32, zero int32) {
	// clamp(r + z, qmin, qmax) - z = clamp(r, qmin - z, qmax - z)
	lo, hi := float32(t.qmin-zero), float32(t.qmax-zero)
	var e float64
	for at := 0; at < len(t.w) && e < t.least; at += len(t.h) {
		e = squaredError(t.w[at:at+len(t.h)], t.h, scale, lo, hi, e, t.least)
	}
	if e < t.least {
		t.least, t.scale, t.zero = e, scale, zero
	}
}

// tryZeros tries the zero points that a clipped range leaves open: from all clipping at the high end to all at
// the low end, in at most five steps.
func (t *trial) tryZeros(scale float32) {
	limit := func(z float64) int32 { return int32(min(max(z, float64(t.qmin)), float64(t.qmax))) }
	a := limit(math.RoundToEven(float64(-t.lo / scale)))
	b := limit(float64(t.qmax) - math.RoundToEven(float64(t.hi/scale)))
	previous := int32(-1)
	for j := range int32(5) {
		if z := a + (b-a)*j/4; z != previous {
			t.try(scale, z)
			previous = z
		}
	}
}

// squaredError adds sum h (w - value)^2 to e, value the quantized w with unclamped codes limited to lo...hi. It gives
// up, with what it has, when the sum reaches least.
//
// This is the inner loop of the calibration. Limiting before rounding is the same as after, because lo and hi are whole
// numbers, and leaves numbers so small that adding and subtracting 1.5 * 2^23 rounds them half to even. The difference
// in float32 is exact up to a clipping factor of two and of float32's precision beyond.
func squaredError(w []float32, h []float64, scale, lo, hi float32, e, least float64) float64 {
	const magic = 3 << 22
	h = h[:len(w)]
	for i, v := range w {
		q := v / scale
		if q > hi {
			q = hi
		}
		if q < lo {
			q = lo
		}
		d := float64(v - float32((float32(q+magic)-magic)*scale))
		e += float64(h[i] * float64(d*d)) // the conversion forbids a fused multiply-add: same numbers everywhere
		if i&15 == 15 && e >= least {
			return e
		}
	}
	return e
}

// parallel calls f on pieces of 0...n of the given size, on all CPUs.
func parallel(n, size int, f func(from, to int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+size-1)/size) {
		wait.Go(func() {
			for {
				from := int(next.Add(int64(size))) - size
				if from >= n {
					return
				}
				f(from, min(from+size, n))
			}
		})
	}
	wait.Wait()
}
