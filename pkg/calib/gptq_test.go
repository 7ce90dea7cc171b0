package calib

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/quant"
)

// gramOf is the mean Gram matrix of correlated inputs [rows, k], in float64.
func gramOf(r *rand.Rand, rows, k int) []float64 {
	mix, h := make([]float64, 8*k), make([]float64, k*k)
	for i := range mix {
		mix[i] = r.NormFloat64() * math.Exp(0.5*r.NormFloat64())
	}
	x := make([]float64, k)
	for range rows {
		clear(x)
		for f := range 8 {
			z := r.NormFloat64()
			for j := range x {
				x[j] += z * mix[f*k+j] / 8
			}
		}
		for j := range x {
			x[j] += 0.3 * r.NormFloat64()
		}
		for i := range k {
			for j := range k {
				h[i*k+j] += x[i] * x[j] / float64(rows)
			}
		}
	}
	return h
}

// naiveGPTQ is the paper's method without its matrix factor: the inverse Hessian of the columns that are left, from which
// each column is eliminated once it is rounded (equations 2 and 3).
func naiveGPTQ(w []float32, n, k int, h []float64, p quant.QParams, sch quant.WeightScheme, cfg GPTQ) []byte {
	var mean float64
	for i := range k {
		mean += h[i*k+i] / float64(k)
	}
	a := slices.Clone(h)
	order := make([]int, k)
	for i := range k {
		a[i*k+i] += cfg.Damp * mean
		order[i] = i
	}
	if cfg.ActOrder {
		slices.SortStableFunc(order, func(x, y int) int {
			return map[bool]int{true: -1, false: 1}[h[x*k+x] > h[y*k+y]]
		})
	}
	inv := invert(a, k)
	v := make([]float64, n*k)
	for i := range v {
		v[i] = float64(w[i])
	}
	codes, width := make([]byte, n*k), n*k/len(p.Scale)
	for at, j := range order {
		for r := range n {
			i := r*k + j
			scale, zero := p.Scale[i/width], int32(0)
			if p.ZeroPoint != nil {
				zero = p.ZeroPoint[i/width]
			}
			q := math.RoundToEven(float64(float32(v[i])/scale)) + float64(zero)
			q = min(max(q, float64(sch.QMin())), float64(sch.QMax()))
			codes[i] = byte(int32(q) - sch.QMin())
			e := (v[i] - (q-float64(zero))*float64(scale)) / inv[j*k+j]
			for _, to := range order[at:] {
				v[r*k+to] -= e * inv[j*k+to]
			}
		}
		d, column := inv[j*k+j], make([]float64, k)
		for i := range k {
			column[i] = inv[i*k+j]
		}
		for x := range k {
			for y := range k {
				inv[x*k+y] -= column[x] * column[y] / d
			}
		}
	}
	return codes
}

// invert is Gauss and Jordan's, of a positive definite matrix.
func invert(a []float64, k int) []float64 {
	m, inv := slices.Clone(a), make([]float64, k*k)
	for i := range k {
		inv[i*k+i] = 1
	}
	for c := range k {
		d := m[c*k+c]
		for j := range k {
			m[c*k+j] /= d
			inv[c*k+j] /= d
		}
		for r := range k {
			f := m[r*k+c]
			if r == c || f == 0 {
				continue
			}
			for j := range k {
				m[r*k+j] -= f * m[c*k+j]
				inv[r*k+j] -= f * inv[c*k+j]
			}
		}
	}
	return inv
}

func floats32(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// The codes are those of the naive loop, in every granularity, order and block size, and move the output's error far below
// that of rounding to nearest.
func TestGPTQAgainstNaive(t *testing.T) {
	const n, k = 64, 64
	for i, sch := range []quant.WeightScheme{
		quant.DefaultWeightScheme(),
		{Bits: 4, Granularity: quant.PerGroup, GroupSize: 32},
		{Bits: 4, Symmetric: true, Granularity: quant.PerChannel},
		{Bits: 4, Symmetric: true, Granularity: quant.PerTensor},
	} {
		for _, cfg := range []GPTQ{{Damp: 0.01, Block: 128}, {Damp: 0.01, ActOrder: true, Block: 24}} {
			t.Run(fmt.Sprintf("%v-order-%v", sch, cfg.ActOrder), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(i), 1))
				w, _ := draw(r, n, k)
				h := gramOf(r, 256, k)
				rule := nearestRules(sch)[0]
				p, rounded, err := Nearest(w, n, k, sch, rule)
				if err != nil {
					t.Fatal(err)
				}
				want := naiveGPTQ(w, n, k, h, p, sch, cfg)
				var codes []byte
				var before, after float64
				err = nn.Run(func(c *nn.Context) (err error) {
					ht := c.FromFloats(floats32(h), k, k)
					if codes, err = gptq(c, w, n, k, ht, p, sch, cfg); err != nil {
						return err
					}
					for _, x := range []struct {
						codes []byte
						to    *float64
					}{{rounded, &before}, {codes, &after}} {
						e, err := errorOf(w, make([]float64, k), Scheme{Out: n, In: k, Weight: sch}, p, x.codes)
						if err != nil {
							return err
						}
						if *x.to, err = outputPower(c, c.FromFloats(e.residual, n, k), ht); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(codes, want) {
					different := 0
					for i := range want {
						if codes[i] != want[i] {
							different++
						}
					}
					t.Errorf("%d of %d codes differ from the naive loop's", different, n*k)
				}
				if least := map[bool]float64{true: 0.95, false: 0.7}[sch.Granularity == quant.PerTensor]; after > least*before {
					t.Errorf("output error %.4g, rounded to nearest %.4g", after, before)
				}
			})
		}
	}
}

// A silent channel is rounded to nearest; what is not positive definite is refused with the remedy.
func TestGPTQSilence(t *testing.T) {
	const n, k = 8, 32
	r := rand.New(rand.NewPCG(4, 2))
	w, _ := draw(r, n, k)
	h := gramOf(r, 64, k)
	for i := range k {
		h[5*k+i], h[i*k+5] = 0, 0
	}
	sch := quant.DefaultWeightScheme()
	p, rounded, err := Nearest(w, n, k, sch, quant.AbsMax)
	if err != nil {
		t.Fatal(err)
	}
	err = nn.Run(func(c *nn.Context) error {
		codes, err := gptq(c, w, n, k, c.FromFloats(floats32(h), k, k), p, sch, DefaultConfig().GPTQ)
		for row := range n {
			if err == nil && codes[row*k+5] != rounded[row*k+5] {
				t.Errorf("row %d: code %d of a silent channel, want %d", row, codes[row*k+5], rounded[row*k+5])
			}
		}
		if err != nil {
			return err
		}
		h[0] = -1
		_, err = gptq(c, w, n, k, c.FromFloats(floats32(h), k, k), p, sch, DefaultConfig().GPTQ)
		if err == nil || !strings.Contains(err.Error(), "not positive definite with gptq.damp = 0.01: raise it") {
			t.Errorf("error of an indefinite matrix: %v", err)
		}
		_, err = gptq(c, w, n, k, c.FromFloats(make([]float32, k*k), k, k), p, sch, DefaultConfig().GPTQ)
		if err == nil || !strings.Contains(err.Error(), "inputs are zero everywhere") {
			t.Errorf("error of an all-zero matrix: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Float32 is too coarse for this one, float64 is not: the factor is that of the inverse, which a matrix of rank one and damping
// has in closed form.
func TestCholeskyInDouble(t *testing.T) {
	const k = 48
	h := make([]float32, k*k)
	for i := range h { // of rank one, without rounding
		h[i] = float32(int(1) << (i / k % 4) << (i % k % 4))
	}
	err := nn.Run(func(c *nn.Context) error {
		ht := c.FromFloats(h, k, k)
		if _, at := c.Cholesky(c.Add(ht, c.MulScalar(eye(c, k), 1e-9*85/4))); at == 0 {
			t.Error("the factorization in float32 succeeds: this matrix tests nothing")
		}
		_, u, err := inverseFactor(c, ht, GPTQ{Damp: 1e-9, Block: 128})
		if err != nil {
			return err
		}
		got, err := tensor.Floats(u)
		if err != nil {
			return err
		}
		// (λ + v vᵀ)⁻¹ = (1 - v vᵀ/(λ + |v|²))/λ, and its upper factor U, UᵀU, row by row.
		const lambda = 1e-9 * 85 / 4
		var want [k][k]float64
		v := func(i int) float64 { return float64(int(1) << (i % 4)) }
		for i := range k {
			for j := i; j < k; j++ {
				a := -v(i) * v(j) / (lambda + 85*k/4)
				if i == j {
					a++
				}
				a /= lambda
				for l := range i {
					a -= want[l][i] * want[l][j]
				}
				if i == j {
					want[i][i] = math.Sqrt(a)
				} else {
					want[i][j] = a / want[i][i]
				}
			}
		}
		for i := range k {
			for j := i; j < k; j++ {
				if g := float64(got[i*k+j]); math.Abs(g-want[i][j]) > 1e-3*want[i][i] {
					t.Fatalf("factor [%d, %d] is %g, want %g", i, j, g, want[i][j])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Offsets learned by signed gradients lose less of the output than rounding to nearest, and the codes are within the
// offsets' reach: at most one from the nearest under their own scales.
func TestAutoRound(t *testing.T) {
	const n, k = 32, 64
	for i, sch := range []quant.WeightScheme{quant.DefaultWeightScheme(), {Bits: 4, Granularity: quant.PerGroup, GroupSize: 32}} {
		r := rand.New(rand.NewPCG(uint64(i), 9))
		w, _ := draw(r, n, k)
		h := gramOf(r, 256, k)
		err := nn.Run(func(c *nn.Context) error {
			ht := c.FromFloats(floats32(h), k, k)
			loss := func(p quant.QParams, codes []byte) float64 {
				e, err := errorOf(w, make([]float64, k), Scheme{Out: n, In: k, Weight: sch}, p, codes)
				if err != nil {
					t.Fatal(err)
				}
				power, err := outputPower(c, c.FromFloats(e.residual, n, k), ht)
				if err != nil {
					t.Fatal(err)
				}
				return power
			}
			p, rounded, err := Nearest(w, n, k, sch, nearestRules(sch)[0])
			if err != nil {
				return err
			}
			before := loss(p, rounded)
			best, codes, err := autoRound(c, w, n, k, ht, sch, DefaultConfig().AutoRound)
			if err != nil {
				return err
			}
			if err := best.Validate(sch, n, k); err != nil {
				return err
			}
			after := loss(best, codes)
			t.Logf("%v: output error %.4g, rounded to nearest %.4g", sch, after, before)
			if after > 0.75*before {
				t.Errorf("%v: output error %.4g, rounded to nearest %.4g", sch, after, before)
			}
			nearest := make([]byte, n*k)
			lw, _, _ := latticeOf(w, n, k, sch)
			kernels().Codes(lw, best.Scale, best.ZeroPoint, nearest)
			for i := range codes {
				if d := int(codes[i]) - int(nearest[i]); d < -1 || d > 1 {
					t.Fatalf("%v: code %d is %d, the nearest %d", sch, i, codes[i], nearest[i])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
