package calib_test

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/qakd/qakd/internal/native/lattice"
	"github.com/qakd/qakd/pkg/quant"
)

// rounding is a search written from the paper (Cheng et al. 2023, §3) for one row w, with the whole product d·h at each step
// and the slopes of the factors by difference quotients.
type rounding struct {
	sch    quant.WeightScheme
	h      [][]float64
	factor [2][]float32 // of the groups' ends
	w, v   []float32
	scale  []float32
	zero   []int32
	code   []float64 // less the zero point
}

// state makes scales, zero points and codes of offsets and factors.
func (r *rounding) state(t *testing.T, width int) {
	rule, row := quant.AbsMaxHalf, r.sch
	if row.Granularity = quant.PerChannel; !row.Symmetric {
		rule = quant.MinMax
	}
	for i := range r.scale {
		x := r.w[i*width : (i+1)*width]
		span := []float32{r.factor[0][i] * min(0, slices.Min(x)), r.factor[1][i] * max(0, slices.Max(x))}
		p, err := quant.InitQParams(span, 1, 2, row, rule)
		if err != nil {
			t.Fatal(err)
		}
		if r.scale[i], r.zero[i] = p.Scale[0], 0; !r.sch.Symmetric {
			r.zero[i] = p.ZeroPoint[0]
		}
		lo, hi := float64(r.sch.QMin()-r.zero[i]), float64(r.sch.QMax()-r.zero[i])
		for j := i * width; j < (i+1)*width; j++ {
			r.code[j] = min(max(math.RoundToEven(float64(r.w[j]/r.scale[i]+r.v[j])), lo), hi)
		}
	}
}

// gradient is d·h, and d·h·dᵀ.
func (r *rounding) gradient(width int) (g []float64, loss float64) {
	g = make([]float64, len(r.w))
	for i := range r.w {
		d := float64(r.w[i]) - r.code[i]*float64(r.scale[i/width])
		for j := range g {
			g[j] += d * r.h[i][j]
		}
	}
	for i := range r.w {
		loss += (float64(r.w[i]) - r.code[i]*float64(r.scale[i/width])) * g[i]
	}
	return g, loss
}

// value is what weight j of group i stands for, under other factors: all that rounding adds stays as it is, which is what the
// straight-through gradient means.
func (r *rounding) value(i, j int, lo, hi float64) float64 {
	qmin, qmax := float64(r.sch.QMin()), float64(r.sch.QMax())
	scale := func(lo, hi float64) float64 {
		if r.sch.Symmetric {
			return max(-lo, hi) / (qmax + 0.5)
		}
		return (hi - lo) / (qmax - qmin)
	}
	lo0, hi0 := r.span(i)
	lo1, hi1 := lo0*float64(r.factor[0][i]), hi0*float64(r.factor[1][i])
	s0, z0 := float64(r.scale[i]), float64(r.zero[i])
	s, z := s0+scale(lo0*lo, hi0*hi)-scale(lo1, hi1), z0
	if !r.sch.Symmetric {
		z += -lo0*lo/s + lo1/s0
	}
	w, v := float64(r.w[j]), float64(r.v[j])
	exact := float64(r.w[j]/r.scale[i] + r.v[j])
	rounded := math.RoundToEven(exact)
	switch {
	case rounded > qmax-z0:
		return s * (qmax - z)
	case rounded < qmin-z0:
		return s * (qmin - z)
	}
	return s * (w/s + v + rounded - (w/s0 + v))
}

// span is that of group i.
func (r *rounding) span(i int) (lo, hi float64) {
	width := len(r.w) / len(r.scale)
	x := r.w[i*width : (i+1)*width]
	return float64(min(0, slices.Min(x))), float64(max(0, slices.Max(x)))
}

// descend moves offsets and factors by rate, factors against the sign of a difference quotient.
func (r *rounding) descend(g []float64, width int, rate, most float32) {
	sign := func(x float64) float32 {
		switch {
		case x > 1e-6: // of numbers of some hundredths
			return 1
		case x < -1e-6:
			return -1
		}
		return 0
	}
	for i := range r.scale {
		var slope [2]float64
		lo, hi := float64(r.factor[0][i]), float64(r.factor[1][i])
		const h = 1e-5
		for j := i * width; j < (i+1)*width; j++ {
			slope[0] += -2 * g[j] * (r.value(i, j, lo+h, hi) - r.value(i, j, lo-h, hi)) / (2 * h)
			slope[1] += -2 * g[j] * (r.value(i, j, lo, hi+h) - r.value(i, j, lo, hi-h)) / (2 * h)
		}
		for j := i * width; j < (i+1)*width; j++ {
			if math.RoundToEven(float64(r.w[j]/r.scale[i]+r.v[j])) == r.code[j] { // clamped, it has no slope
				r.v[j] = min(max(r.v[j]+rate*sign(g[j]), -0.5), 0.5)
			}
		}
		for end := range slope {
			r.factor[end][i] = min(max(r.factor[end][i]-rate*sign(slope[end]), 1-most), 1+most)
		}
	}
}

// search is the loop over one row w: its first state, the best, and what that loses.
func search(t *testing.T, sch quant.WeightScheme, h [][]float64, w []float32, width, steps int, rate, most float64) (first, best rounding, least float64) {
	groups := len(w) / width
	ones := slices.Repeat([]float32{1}, groups)
	r := &rounding{
		sch: sch, h: h, w: w, v: make([]float32, len(w)), code: make([]float64, len(w)), scale: make([]float32, groups),
		zero: make([]int32, groups), factor: [2][]float32{slices.Clone(ones), slices.Clone(ones)},
	}
	least = math.Inf(1)
	for step := 0; ; step++ {
		r.state(t, width)
		g, loss := r.gradient(width)
		if loss < least {
			least = loss
			best = rounding{scale: slices.Clone(r.scale), zero: slices.Clone(r.zero), code: slices.Clone(r.code)}
		}
		if step == 0 {
			first = best
		}
		if step == steps {
			return first, best, least
		}
		r.descend(g, width, float32(rate*(1-float64(step)/float64(steps))), float32(most))
	}
}

// Inputs with one direction that is far larger than the others leave little of products that are large: the float32 sums
// find as good codes as the loop's float64.
func TestRoundOfCorrelatedInputs(t *testing.T) {
	const n, k, width, steps, rate, most = 8, 128, 32, 100, 0.01, 0.5
	sch := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: width}
	for _, strong := range []float64{1, 30, 1000} {
		r := rand.New(rand.NewPCG(3, 22))
		w, h, flat, mean := make([]float32, n*k), make([][]float64, k), make([]float32, k*k), make([]float64, k)
		for i := range w {
			w[i] = float32(0.02 * r.NormFloat64())
		}
		gram := make([]float64, k*k)
		x := make([]float64, k)
		for j := range mean {
			mean[j] = strong * r.NormFloat64()
		}
		for range 4 * k {
			for j := range x {
				x[j] = r.NormFloat64() / math.Sqrt(4*k)
			}
			for i := range gram {
				gram[i] += x[i/k] * x[i%k]
			}
		}
		for i := range flat {
			flat[i] = float32(gram[i] + mean[i/k]*mean[i%k])
			h[i/k] = append(h[i/k], float64(flat[i]))
		}
		eachSet(t, func(t *testing.T, s lattice.Set) {
			scale, codes := make([]float32, n*k/width), make([]byte, n*k)
			var pin runtime.Pinner
			defer pin.Unpin()
			pin.Pin(&flat[0])
			s.Round(latticeOf(w, n, k, sch), lattice.Rounding{H: unsafe.Pointer(&flat[0]), Steps: steps, Rate: rate, Most: most}, scale, nil, codes)
			var before, ours, loops float64
			for row := range n {
				first, _, least := search(t, sch, h, w[row*k:(row+1)*k], width, steps, rate, most)
				first.sch, first.h, first.w = sch, h, w[row*k:(row+1)*k]
				_, loss := first.gradient(width)
				before, loops = before+loss, loops+least
				first.scale = scale[row*k/width : (row+1)*k/width]
				for j := range first.code {
					first.code[j] = float64(int32(codes[row*k+j]) + sch.QMin())
				}
				_, loss = first.gradient(width)
				ours += loss
			}
			t.Logf("%v times: error %.5g at first, %.5g by the loop, %.5g by the kernels", strong, before, loops, ours)
			if loops > 0.5*before || ours > 1.02*loops {
				t.Errorf("%v times: error %.5g at first, %.5g by the loop, %.5g by the kernels", strong, before, loops, ours)
			}
		})
	}
}

// Rounding by signed gradients is the paper's loop, which multiplies (w - value) with the Gram matrix at every step: numbers
// of few bits, so that both ways of adding them up are exact, and signs of slopes the same.
func TestRoundIsThePapersLoop(t *testing.T) {
	const n, steps, rate, most = 37, 60, 0.02, 0.3
	for i, sch := range []quant.WeightScheme{
		{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 32},
		{Bits: 4, Granularity: quant.PerGroup, GroupSize: 32},
		{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 37},
		{Bits: 4, Granularity: quant.PerChannel},
		{Bits: 8, Symmetric: true, Granularity: quant.PerChannel},
	} {
		k := int64(96)
		if sch.GroupSize == 37 {
			k = 74
		}
		r := rand.New(rand.NewPCG(uint64(i), 21))
		w, h, flat := make([]float32, n*k), make([][]float64, k), make([]float32, k*k)
		for j := range w {
			w[j] = float32(r.IntN(255)-127) / 128
		}
		clear(w[k : 2*k]) // a row of zeros
		for j := range h {
			h[j] = make([]float64, k)
			h[j][j] = float64(8 + r.IntN(8))
			for l := range j {
				h[j][l] = float64(r.IntN(5) - 2)
				h[l][j] = h[j][l]
			}
		}
		for j := range h {
			for l := range h {
				flat[int64(j)*k+int64(l)] = float32(h[j][l])
			}
		}
		lw := latticeOf(w, n, k, sch)
		width, units := int(lw.Width), lw.Units()
		groups := k / lw.Width
		eachSet(t, func(t *testing.T, s lattice.Set) {
			scale, zero, codes := make([]float32, units), make([]int32, units), make([]byte, n*k)
			var pin runtime.Pinner
			defer pin.Unpin()
			pin.Pin(&flat[0])
			how := lattice.Rounding{H: unsafe.Pointer(&flat[0]), Steps: steps, Rate: rate, Most: most}
			if sch.Symmetric {
				s.Round(lw, how, scale, nil, codes)
			} else {
				s.Round(lw, how, scale, zero, codes)
			}
			differ, moved := 0, 0
			for row := range int64(n) {
				first, best, _ := search(t, sch, h, w[row*k:(row+1)*k], width, steps, rate, most)
				for j := range best.code {
					u := row*groups + int64(j/width)
					if float64(int32(codes[row*k+int64(j)])+sch.QMin()-zero[u]) != best.code[j] || scale[u] != best.scale[j/width] || zero[u] != best.zero[j/width] {
						differ++
					}
					if best.code[j] != first.code[j] {
						moved++
					}
				}
			}
			if differ > 0 || moved < int(n*k)/50 {
				t.Errorf("%v: %d of %d weights have another code or scale than the loop, which moved %d codes", sch, differ, n*k, moved)
			}
		})
	}
}
