package calib

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// Every ratio and share of a row is what loops over weights, and over the inputs themselves, say.
func TestRowIsNaive(t *testing.T) {
	const rows, n, k, group = 150, 6, 64, 32
	r := rand.New(rand.NewPCG(21, 22))
	x, w := make([]float64, rows*k), make([]float32, n*k)
	for i := range x {
		x[i] = r.NormFloat64() * float64(1+i%k%5)
		if i%k > 0 {
			x[i] += 0.7 * x[i-1] // channels go together: the Gram matrix says more than the moments
		}
	}
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	moments, gram := make([]float64, k), make([]float32, k*k)
	for a := range k {
		for b := range k {
			var sum float64
			for i := range rows {
				sum += x[i*k+a] * x[i*k+b] / rows
			}
			gram[a*k+b] = float32(sum)
		}
		moments[a] = float64(gram[a*k+a])
	}
	symmetric := quant.DefaultWeightScheme()
	for _, sch := range []quant.WeightScheme{symmetric, {Bits: 4, Granularity: quant.PerGroup, GroupSize: group}} {
		for _, method := range []WeightMethod{SearchMSE, RoundGPTQ} {
			cfg := DefaultConfig()
			cfg.WeightMethod, cfg.GridMin = method, 0.3
			l := layer{Scheme: Scheme{Out: n, In: k, Weight: sch}}
			err := nn.Run(func(c *nn.Context) error {
				h := c.FromFloats(gram, k, k)
				if err := l.fitWeight(c, w, moments, h, cfg); err != nil {
					return err
				}
				return l.row.measure(c, w, moments, h, l.Scheme, l.params, l.codes)
			})
			if err != nil {
				t.Fatal(err)
			}
			codes := l.codes
			if codes == nil {
				if codes, err = Codes(Weight{w, n, k, sch}, l.params); err != nil {
					t.Fatal(err)
				}
			}
			var signal, noise, dot, length, weighted, weightedNoise, out, outNoise, largest float64
			clipped, d := 0, make([]float64, n*k)
			for i, v := range w {
				scale, zero := float64(l.params.Scale[i/group]), 0.
				if l.params.ZeroPoint != nil {
					zero = float64(l.params.ZeroPoint[i/group])
				}
				lo := float64(sch.QMin())
				y := float64(float32((float64(codes[i]) + lo - zero) * scale))
				d[i] = float64(v) - y
				signal, noise = signal+float64(v)*float64(v), noise+d[i]*d[i]
				dot, length = dot+float64(v)*y, length+y*y
				weighted += moments[i%k] * float64(v) * float64(v)
				weightedNoise += moments[i%k] * d[i] * d[i]
				largest = max(largest, math.Abs(d[i]))
				if q := math.RoundToEven(float64(v) / scale); q+zero < lo || q+zero > lo+15 {
					clipped++
				}
			}
			for i := range rows {
				for o := range n {
					var y, e float64
					for j := range k {
						y += x[i*k+j] * float64(w[o*k+j])
						e += x[i*k+j] * d[o*k+j]
					}
					out, outNoise = out+y*y, outNoise+e*e
				}
			}
			ratio := func(a, b float64) float64 { return 10 * math.Log10(a/b) }
			for name, v := range map[string][2]float64{
				"sqnr_after": {l.row.SQNRAfter, ratio(signal, noise)}, "output_after": {l.row.OutputAfter, ratio(weighted, weightedNoise)},
				"output": {l.row.Output, ratio(out, outNoise)}, "max_err": {l.row.MaxErr, largest},
				"cosine": {l.row.Cosine, dot / math.Sqrt(signal*length)}, "clipped": {l.row.Clipped, float64(clipped) / (n * k)},
				"damage": {l.row.Damage(), ratio(out, outNoise)}, "scale": {float64(l.row.Scale), float64(slices.Sorted(slices.Values(l.params.Scale))[(n*k/group-1)/2])},
			} {
				if math.Abs(v[0]-v[1]) > 1e-3*math.Abs(v[1])+1e-9 {
					t.Errorf("%v by %s: %s is %v, loops say %v", sch, method, name, v[0], v[1])
				}
			}
			if sch.Symmetric && clipped == 0 {
				t.Errorf("%v by %s: nothing is clipped, so its share says nothing", sch, method)
			}
		}
	}
}

// The most damaged layer comes first, by the output itself where it is known.
func TestSortByDamage(t *testing.T) {
	r := &Report{Rows: []Row{{Layer: "a", Output: 20, OutputAfter: 1}, {Layer: "b", OutputAfter: 10}, {Layer: "c", Output: 5, OutputAfter: 30}}}
	r.SortByDamage()
	if r.Rows[0].Layer != "c" || r.Rows[1].Layer != "b" || r.Rows[2].Layer != "a" {
		t.Errorf("order %v", r.Rows)
	}
}
